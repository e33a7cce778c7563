// Package initbin owns the bytes of proa-init, the static program that proa runs as monitor, as container init and as
// pause process. It only holds them; sealing them in a memfd and starting them is left to its callers. It runs in
// proa, with the invoking user's privilege.
//
// The file proa-init beside this one is built, not committed: "make build" makes it. A plain "go build" in a fresh
// checkout stops with "pattern proa-init: no matching files found"; run "make bin/proa" once.
package initbin

import _ "embed"

// Bytes is the ELF file of proa-init. Callers must not write to it.
//
//go:embed proa-init
var Bytes []byte
