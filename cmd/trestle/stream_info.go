package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newStreamInfoCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "info NAME [flags]",
		Short: "Describe a stream",
		Long: `Describe a stream: its configuration and the state of its partitions. All ends are exclusive:
the next offset is what the next message gets, the high watermark the end of what is committed,
the durable offset the end of what is fsynced.`,
		Example: `  trestle stream info orders
  trestle stream info orders -o json`,
		Args: oneArgument("the NAME of a stream"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), callTime)
		defer cancel()
		c, err := address.connect(ctx, cmd)
		if err != nil {
			return err
		}
		defer closeQuietly(c)
		info, err := c.Stream(args[0]).Info(ctx)
		if err != nil {
			return err
		}
		if out.is(formatJSON) {
			return inv.print(string(appendStreamJSON(nil, &info, nil)))
		}
		return inv.print(streamText(&info))
	}
	return cmd
}
