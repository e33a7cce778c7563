#!/bin/sh
# docs.sh PROA: prints the command reference, as the command tree of the built binary PROA describes itself.
set -eu
proa=$1
printf '# Command reference\n\nMade from the command tree by `make docs`; do not edit.\n'
"$proa" --help | sed -n '/^COMMANDS:/,/^[A-Z ]*OPTIONS:/p' |
    sed -nE 's/^ +([a-z][a-z-]*)(, [a-z-]+)*  .*/\1/p; s/^ +([a-z][a-z-]*)$/\1/p' | sort -u |
    while read -r cmd; do
        [ "$cmd" = help ] && continue
        printf '\n## proa %s\n\n```\n' "$cmd"
        "$proa" "$cmd" --help </dev/null | sed 's/[[:space:]]*$//'
        printf '```\n'
    done
