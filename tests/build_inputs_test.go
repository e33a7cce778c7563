package tests

import (
	"archive/tar"

	"github.com/proa-containers/proa/tests/harness"
)

// addArchive is an archive for ADD, with and without compression.
var (
	addArchive = harness.Layer(
		harness.Entry{Name: "in/", UID: 3, GID: 4, Mode: 0o750},
		harness.Entry{Name: "in/f", UID: 3, GID: 4, Mode: 0o640, Content: "inside"},
		harness.Entry{Name: "in/l", Type: tar.TypeLink, Link: "in/f", UID: 3, GID: 4, Mode: 0o640},
	)
	addArchiveGzip = harness.Gzip(addArchive)
)
