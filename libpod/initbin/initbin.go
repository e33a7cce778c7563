// Package initbin carries proa-init, the program that runs as monitor, init, exec init and pause process, inside the
// proa executable, and hands it out as a file that nobody can change. `make build` puts the two embedded files there.
package initbin

import _ "embed"

//go:embed proa-init
var binary []byte

//go:embed proa-init.id
var id string

// Binary is proa-init itself.
func Binary() []byte { return binary }
