package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"go.podman.io/image/v5/docker"

	"github.com/proa-containers/proa/image"
)

func TestPassing(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		err             error
		once, unreached bool // what is told, without and with --retry
	}{
		"cut off":           {fmt.Errorf("writing blob: %w", io.ErrUnexpectedEOF), true, true},
		"reset":             {&net.OpError{Op: "write", Err: syscall.ECONNRESET}, true, true},
		"nobody there":      {refused, false, true},
		"no such host":      {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "x"}}, false, true},
		"too many":          {docker.ErrTooManyRequests, true, true},
		"503":               {errors.New("uploading layer chunked: received unexpected HTTP status: 503 Service Unavailable"), true, true},
		"500 with a body":   {errors.New(`uploading layer: StatusCode: 500, "oops"`), true, true},
		"404":               {errors.New(`uploading layer: StatusCode: 404, ""`), false, false},
		"a digest with 500": {errors.New("checking sha256:50050050050 in x/500: denied"), false, false},
		"another's TLS":     {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, false, false},
		"Ctrl-C":            {context.Canceled, false, false},
		"a full disk":       {syscall.ENOSPC, false, false},
	} {
		if got := passing(c.err, false); got != c.once {
			t.Errorf("%s: %v, want %v", name, got, c.once)
		}
		if got := passing(c.err, true); got != c.unreached {
			t.Errorf("%s, with --retry: %v, want %v", name, got, c.unreached)
		}
	}
}

func TestCompressionCheck(t *testing.T) {
	level := func(n int) *int { return &n }
	for _, c := range []struct {
		c      Compression
		format image.Format
		ok     bool
	}{
		{Compression{}, "", true},
		{Compression{Level: level(9)}, image.Docker, true},
		{Compression{Level: level(10)}, "", false},
		{Compression{Algorithm: "zstd", Level: level(20)}, image.OCI, true},
		{Compression{Algorithm: "zstd"}, image.Docker, false},
		{Compression{Algorithm: "xz"}, "", false},
	} {
		if err := c.c.check(c.format); (err == nil) != c.ok {
			t.Errorf("%+v as %q: %v", c.c, c.format, err)
		}
	}
}

func TestRegistryName(t *testing.T) {
	for given, want := range map[string]string{
		"": "docker.io", "https://index.docker.io/v1/": "docker.io", "registry-1.docker.io": "docker.io", "a.example:5000/": "a.example:5000",
		"https://a.example/v2/": "a.example", "a.example/team": "a.example/team", "mia@a.example": "", "a b": "", "/a": "", "a//b": "",
	} {
		got, err := registryName(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", given, got, err, want)
		}
	}
}

func FuzzFileDestination(f *testing.F) {
	for _, s := range []string{"dir:/tmp/x", "oci:/tmp/x:1", "oci-archive:x", "docker-archive:x:a:1", "docker-daemon:x", "127.0.0.1:5000/x:1", ":", "oci:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ref, err := fileDestination(s); err != nil && ref != nil {
			t.Errorf("%q: both %v and %v", s, ref, err)
		}
		if name, err := registryName(s); err == nil && name == "" {
			t.Errorf("%q is a registry without a name", s)
		}
	})
}
