package transfer

import (
	"errors"
	"testing"

	"go.podman.io/image/v5/docker/reference"
)

// What the libraries said for each; digests, paths and image names hold digits and words that mean something elsewhere.
func TestExplain(t *testing.T) {
	name, err := reference.ParseNormalizedNamed("127.0.0.1:5000/tls:1")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "")
	for text, want := range map[string]error{
		`storing blob to file "/home/u/t-3024047268/1": happened during read: Digest did not match, expected sha256:81404, got sha256:df07`: ErrCorrupt,
		"reading manifest 1 in 127.0.0.1:5000/tls: manifest unknown":                                                                        ErrNotThere,
		`reading manifest 1 in 127.0.0.1:5000/a: StatusCode: 404, "<html>"`:                                                                 ErrNotThere,
		"invalid status code from registry 404 (Not Found)":                                                                                 ErrNotThere,
		`Get "https://127.0.0.1:5000/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`:                ErrTLS,
		`Get "https://127.0.0.1:5000/v2/": remote error: tls: handshake failure`:                                                            ErrTLS,
	} {
		if err := pullTask(name, Access{}, s).explain(t.Context(), errors.New(text)); !errors.Is(err, want) {
			t.Errorf("%q was explained as %q, want %q", text, err, want)
		}
	}
}
