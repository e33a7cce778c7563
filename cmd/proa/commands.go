package main

import (
	"github.com/proa-containers/proa/internal/manual"
	"github.com/urfave/cli/v2"
)

// commands is the command tree; each constructor stands in the file named after its command.
func commands(a *app) []*cli.Command {
	return []*cli.Command{
		newBuild(a), newBuilderCommand(a, "builder"), newBuilderCommand(a, "buildx"),
		newImageCommand(a),
		newImagesCommand(a),
		newHistoryCommand(a), newImportCommand(a), newLoadCommand(a), newLoginCommand(), newLogoutCommand(), newPullCommand(a), newPushCommand(a),
		newRmiCommand(a), newSaveCommand(a), newTagCommand(a), newUntagCommand(a),
		newRunCommand(a), newCreateCommand(a), newStartCommand(a), newRestartCommand(a), newAttachCommand(a),
		newPauseCommand(a), newUnpauseCommand(a), newRenameCommand(a), newExecCommand(a), newDebugCommand(a), newLogsCommand(a), newStopCommand(a),
		newKillCommand(a), newRmCommand(a), newWaitCommand(a), newUpdateCommand(a),
		newCpCommand(a), newDiffCommand(a), newExportCommand(a), newCommitCommand(a), newTopCommand(a), newStatsCommand(a), newPortCommand(a),
		newInitCommand(a), newMountCommand(a), newUnmountCommand(a),
		newContainerCommand(a), newPsCommand(a), newInspectCommand(a, ""), newInfoCommand(a),
		newVersionCommand(a), newUnshareCommand(a),
		newDoctorCommand(a), newSystemCommand(a), newHealthcheckCommand(a), newEventsCommand(a), newVolumeCommand(a), newNetworkCommand(a),
		manual.New(),
	}
}
