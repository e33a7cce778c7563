package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod/host"
	"github.com/proa-containers/proa/libpod/rootless"
)

// explain adds what to do to the errors of the host's set-up, in the words of `proa doctor`.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rootless.ErrNoSubIDs):
		return fmt.Errorf("%w: containers can only use one uid and one gid; %s (proa doctor says more)", err, host.SubIDsRemedy("", "$USER"))
	case errors.Is(err, rootless.ErrNoMapper):
		return fmt.Errorf("%w; %s", err, host.MapperRemedy(""))
	case errors.Is(err, rootless.ErrUserNS):
		return fmt.Errorf("%w; %s (proa doctor says more)", err, host.UserNSRemedy(""))
	}
	return err
}
