package main

import "github.com/proa-containers/proa/libpod/host"

// explain adds what to do to the errors of the host's set-up, in the words of `proa doctor`.
func explain(err error) error {
	if err == nil {
		return nil
	}
	return host.Local().Explain(err)
}
