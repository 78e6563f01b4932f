package main

import (
	"github.com/spf13/cobra"
)

func newStreamCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "Create, list and describe streams",
		Long:  "Create, list and describe streams: named logs of what is published on NATS subjects.",
		Example: `  trestle stream create orders --subject 'orders.>'
  trestle stream ls
  trestle stream info orders`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &misuse{message: "trestle stream needs a command: create, ls or info", remedy: "see trestle stream --help"}
		},
	}
	cmd.AddCommand(newStreamCreateCommand(inv), newStreamListCommand(inv), newStreamInfoCommand(inv))
	return cmd
}
