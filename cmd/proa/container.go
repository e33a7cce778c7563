package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// newContainerCommand holds the container verbs under their longer name, and those that proa itself calls.
func newContainerCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "container",
		Usage: "manage containers",
		Subcommands: []*cli.Command{
			newRunCommand(a), newCreateCommand(a), newStartCommand(a), newRestartCommand(a), newAttachCommand(a),
			newPauseCommand(a), newUnpauseCommand(a), newRenameCommand(a), newExecCommand(a), newDebugCommand(a), newLogsCommand(a), newStopCommand(a),
			newKillCommand(a), newRmCommand(a), newWaitCommand(a), newUpdateCommand(a), newCleanupCommand(a),
			newExistsCommand(a), newContainerPruneCommand(a), newCloneCommand(a), newInitCommand(a),
			newCpCommand(a), newDiffCommand(a), newExportCommand(a), newCommitCommand(a), newTopCommand(a), newStatsCommand(a), newPortCommand(a),
			newMountCommand(a), newUnmountCommand(a),
			newPsCommand(a), newInspectCommand(a, "container"),
		},
	}
}

// newCleanupCommand settles a container that ended with no client attached: its monitor executes it.
func newCleanupCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "cleanup",
		Usage:     "record how a container ended and remove what a removed one leaves",
		ArgsUsage: "CONTAINER",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return fmt.Errorf("cleanup takes one container, not %d", c.NArg())
			}
			e, err := a.engine(c.Context)
			if err != nil {
				return err
			}
			ctr, err := e.Lookup(c.Args().First())
			if missing(err) {
				return nil
			}
			if err != nil {
				return err
			}
			return e.Cleanup(c.Context, ctr)
		},
	}
}
