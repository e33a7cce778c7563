package main

import (
	"strings"
	"testing"

	"github.com/proa-containers/proa/libpod/host"
)

func TestPrintChecks(t *testing.T) {
	checks := []host.Check{
		{Name: "kernel", Status: host.OK, Found: "6.1", Needed: "all"},
		{Name: "linger", Status: host.Warning, Found: "off", Needed: "long life", Remedy: "enable it"},
		{Name: "overlay", Status: host.Missing, Found: "EPERM", Needed: "layers", Remedy: "mend it"},
	}
	for color, want := range map[bool]string{
		false: "ok  kernel   6.1\n" +
			"!!  linger   off\n    needed for: long life\n    remedy:     enable it\n" +
			"XX  overlay  EPERM\n    needed for: layers\n    remedy:     mend it\n",
		true: "\x1b[32mok\x1b[0m  kernel   6.1\n" +
			"\x1b[33m!!\x1b[0m  linger   off\n    needed for: long life\n    remedy:     enable it\n" +
			"\x1b[31mXX\x1b[0m  overlay  EPERM\n    needed for: layers\n    remedy:     mend it\n",
	} {
		var b strings.Builder
		if err := printChecks(&b, checks, color); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("color %v: got\n%swant\n%s", color, b.String(), want)
		}
	}
}
