package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod/rootless"
)

// explain adds what to do to the errors of the host's set-up.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rootless.ErrNoSubIDs):
		return fmt.Errorf("%w: containers can only use one uid and one gid; `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER` adds some (proa doctor says more)", err)
	case errors.Is(err, rootless.ErrNoMapper):
		return fmt.Errorf("%w: `sudo apt-get install uidmap` or `sudo dnf install shadow-utils` brings them", err)
	case errors.Is(err, rootless.ErrUserNS):
		return fmt.Errorf("%w: run `proa doctor`, which says what forbids it and how to allow it", err)
	}
	return err
}
