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
		Args: commandOnly,
		RunE: commandLacking,
	}
	cmd.AddCommand(newStreamCreateCommand(inv), newStreamListCommand(inv), newStreamInfoCommand(inv))
	return cmd
}
