package image

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestChange(t *testing.T) {
	base := func() Config {
		return Config{Env: []string{"PATH=/bin", "HOME=/root"}, Cmd: []string{"old"}, Entrypoint: []string{"/e"}, WorkingDir: "/w"}
	}
	for _, c := range []struct{ lines, want string }{
		{`CMD ["a","b c"]`, `"Cmd":["a","b c"]`},
		{`cmd echo $HOME`, `"Cmd":["/bin/sh","-c","echo $HOME"]`},
		{"SHELL [\"/bin/ash\",\"-ec\"]\nCMD x y", `"Cmd":["/bin/ash","-ec","x y"]`},
		{`ENTRYPOINT ["/new"]`, `"Cmd":null`},
		{"CMD [\"c\"]\nENTRYPOINT [\"/new\"]", `"Cmd":["c"]`},
		{`CMD []`, `"Cmd":[]`},
		{`ENV A=1 B="two words" C=x\ y PATH=$PATH:/opt/bin`, `"Env":["PATH=/bin:/opt/bin","HOME=/root","A=1","B=two words","C=x y"]`},
		{`ENV OLD  form of $HOME`, `"OLD=form of /root"`},
		{`ENV D=${NONE:-fall back} E=${HOME:+set} F='$HOME' G=\$x`, `"D=fall back","E=set","F=$HOME","G=$x"]`},
		{`EXPOSE 80 53/udp 8000-8002/tcp`, `"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{}}`},
		{`LABEL a=b "c d"="e f"`, `"Labels":{"a":"b","c d":"e f"}`},
		{`ONBUILD RUN make`, `"OnBuild":["RUN make"]`},
		{`STOPSIGNAL SIGQUIT`, `"StopSignal":"SIGQUIT"`},
		{`STOPSIGNAL 9`, `"StopSignal":"9"`},
		{`USER 1000:100`, `"User":"1000:100"`},
		{`VOLUME ["/a", "/b"]`, `"Volumes":{"/a":{},"/b":{}}`},
		{`VOLUME /a /b`, `"Volumes":{"/a":{},"/b":{}}`},
		{`WORKDIR sub`, `"WorkingDir":"/w/sub"`},
		{`WORKDIR /abs/`, `"WorkingDir":"/abs"`},
		{`HEALTHCHECK --interval=5s --retries=3 CMD curl -f localhost`, `"Healthcheck":{"Test":["CMD-SHELL","curl -f localhost"],"Interval":5000000000,"Retries":3}`},
		{`HEALTHCHECK CMD ["a"]`, `"Healthcheck":{"Test":["CMD","a"]}`},
		{`HEALTHCHECK NONE`, `"Healthcheck":{"Test":["NONE"]}`},
	} {
		cfg := base()
		if err := cfg.Change(strings.Split(c.lines, "\n")); err != nil {
			t.Errorf("%s: %v", c.lines, err)
			continue
		}
		b, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), c.want) {
			t.Errorf("%s: no %s in %s", c.lines, c.want, b)
		}
	}
}

func TestChangeRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"RUN make": "one of CMD", "": "instruction", "CMD": "instruction", "ENV A": "KEY=VALUE", "ENV =x": "KEY=VALUE", `ENV A="x`: "not closed",
		"ENV A='x": "not closed", "ENV A=${x": "form", `ENV A=x\`: "follows", "EXPOSE http": "invalid port", "EXPOSE 80/icmp": "invalid port", "EXPOSE 9-1": "invalid port",
		"EXPOSE 0": "invalid port", "ONBUILD FROM x": "FROM", "STOPSIGNAL SIGNOPE": "SIGNOPE", "USER a b": "one argument", "SHELL /bin/sh": "list", "SHELL []": "list",
		"HEALTHCHECK x": "NONE or CMD", "HEALTHCHECK CMD": "command", "HEALTHCHECK CMD []": "command", "HEALTHCHECK --interval=x CMD y": "--interval", "HEALTHCHECK --nope=1 CMD y": "--nope",
		"HEALTHCHECK --retries=-1 CMD y": "--retries", "HEALTHCHECK NONE x": "NONE", `VOLUME [""]`: "empty", "WORKDIR a b": "one argument",
	} {
		err := (&Config{}).Change([]string{line})
		if !errors.Is(err, ErrChange) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q in it", line, err, want)
		}
	}
}

func FuzzChange(f *testing.F) {
	for _, s := range []string{`CMD ["a"]`, `ENV A=${B:-"c $d"} E='f'`, "HEALTHCHECK --interval=1s CMD x", "EXPOSE 1-3/udp", `VOLUME ["/a"]`, "ONBUILD RUN x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c := Config{Env: []string{"B=1"}}
		if err := c.Change([]string{line}); err != nil && !errors.Is(err, ErrChange) {
			t.Errorf("%q: %v", line, err)
		}
	})
}
