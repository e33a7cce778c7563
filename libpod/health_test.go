package libpod

import (
	"fmt"
	"testing"
	"time"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
)

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{
		"8080":                        "[127.0.0.1:8080 [::1]:8080] localhost:8080 /",
		"8080/a/b?c=/d#frag":          "[127.0.0.1:8080 [::1]:8080] localhost:8080 /a/b?c=/d",
		"http://localhost/":           "[127.0.0.1:80 [::1]:80] localhost /",
		"http://10.0.0.2:81":          "[10.0.0.2:81] 10.0.0.2:81 /",
		"http://[::1]:81/x":           "[[::1]:81] [::1]:81 /x",
		"http://[::1]":                "[[::1]:80] [::1] /",
		"https://localhost/":          "",
		"http://example.com/":         "",
		"http://u:p@localhost/":       "",
		"http://localhost:0/":         "",
		"http://localhost:99999/":     "",
		"http://localhost/a b":        "",
		"http://localhost/a\r\nX: y":  "",
		"":                            "",
		"http://":                     "",
		"http://localhost:80:80/":     "",
		"http://127.0.0.1?x=http://a": "",
	} {
		e, err := HTTPEndpoint(in)
		got := ""
		if err == nil {
			got = fmt.Sprint(e.Addrs, " ", e.Host, " ", e.Path)
		}
		if got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	if e, err := TCPEndpoint("[fd00::1]:22"); err != nil || fmt.Sprint(e.Addrs) != "[[fd00::1]:22]" {
		t.Errorf("%v, %v", e, err)
	}
}

func TestInheritHealth(t *testing.T) {
	img := &image.Healthcheck{Test: []string{"CMD", "a"}, Interval: time.Second, Retries: 7}
	var h *spec.Health
	inheritHealth(&h, nil)
	if h != nil {
		t.Errorf("an image without a check gives %+v", h)
	}
	inheritHealth(&h, img)
	if !h.Checks() || h.Interval != time.Second || h.Retries != 7 {
		t.Errorf("%+v", h)
	}
	h = &spec.Health{Interval: time.Minute}
	inheritHealth(&h, img)
	if h.Test[1] != "a" || h.Interval != time.Minute || h.Retries != 7 {
		t.Errorf("an option over the image's: %+v", h)
	}
	h = &spec.Health{Test: []string{spec.HealthNone}}
	inheritHealth(&h, img)
	if h.Checks() {
		t.Errorf("a check that was turned off: %+v", h)
	}
	h = nil
	inheritHealth(&h, &image.Healthcheck{Test: []string{spec.HealthNone}})
	if h.Checks() {
		t.Errorf("a check that the image turns off: %+v", h)
	}
}

func TestDueAfterBoot(t *testing.T) {
	ended := Status{State: Exited, Run: Run{ExitCode: 1}}
	clean, stopped := &Run{}, &Run{Stay: true}
	for name, c := range map[string]struct {
		policy  string
		started bool
		last    *Run
		st      Status
		want    bool
	}{
		"no policy":                {"", false, clean, ended, false},
		"always, stopped":          {monitor.Always, false, stopped, ended, true},
		"always, never started":    {monitor.Always, false, nil, Status{State: Created}, false},
		"always, running":          {monitor.Always, true, nil, Status{State: Running}, false},
		"unless-stopped, stopped":  {monitor.UnlessStopped, false, stopped, ended, false},
		"unless-stopped, ran":      {monitor.UnlessStopped, true, stopped, ended, true},
		"unless-stopped, ended":    {monitor.UnlessStopped, false, clean, ended, true},
		"on-failure, failed":       {monitor.OnFailure, false, clean, ended, true},
		"on-failure, well":         {monitor.OnFailure, false, clean, Status{State: Exited}, false},
		"on-failure, stopped":      {monitor.OnFailure, false, stopped, ended, false},
		"on-failure, ran at boot":  {monitor.OnFailure, true, clean, Status{State: Exited}, true},
		"unless-stopped, no trace": {monitor.UnlessStopped, true, nil, Status{State: Created}, true},
	} {
		ctr := &Container{Restart: monitor.Policy{Name: c.policy}, Started: c.started, Last: c.last}
		if got := DueAfterBoot(ctr, c.st); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
