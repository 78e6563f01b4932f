package main

import (
	"github.com/spf13/cobra"
)

func newStreamCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "Create, list, change, copy and delete streams",
		Long:  "Create, list, change, copy and delete streams: named logs of what is published on NATS subjects.",
		Example: `  trestle stream create orders --subject 'orders.>'
  trestle stream ls
  trestle stream info orders
  trestle stream edit orders --retain-age 7d
  trestle stream export orders orders.trestle`,
		Args: commandOnly,
		RunE: commandLacking,
	}
	cmd.AddCommand(
		newStreamCreateCommand(inv), newStreamListCommand(inv), newStreamInfoCommand(inv), newStreamEditCommand(inv),
		newStreamRemoveCommand(inv), newStreamPauseCommand(inv), newStreamResumeCommand(inv), newStreamReadOnlyCommand(inv),
		newStreamPurgeCommand(inv), newStreamExportCommand(inv), newStreamImportCommand(inv),
	)
	return cmd
}
