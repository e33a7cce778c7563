# The bundled runtime beside crun, on one bundle.
bundle=$work/bundle; mkdir -p "$bundle"; cp -a "$root" "$bundle/rootfs"
(cd "$bundle" && crun spec --rootless && jq --argjson u "$(id -u)" --argjson g "$(id -g)" '.process.terminal=false | .process.args=["/bin/true"] |
    del(.linux.resources) | .linux.uidMappings=[{containerID:0,hostID:$u,size:1}] |
    .linux.gidMappings=[{containerID:0,hostID:$g,size:1}]' config.json > c && mv c config.json)
cat > "$work/bin/crun-run" <<C
#!/bin/sh
exec crun --root $work/crun run --bundle $bundle c\$\$
C
cat > "$work/bin/proa-run" <<C
#!/bin/sh
exec proa-runtime --root $work/pr run --bundle $bundle c\$\$
C
chmod +x "$work"/bin/*-run
measure "runtime run, one bundle" "proa=proa-run" "crun=crun-run"
