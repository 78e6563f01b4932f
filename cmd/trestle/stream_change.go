package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newStreamRemoveCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "rm NAME [flags]",
		Short: "Delete a stream",
		Long: `Delete a stream, its messages and its cursors. Nothing is asked back. The name is free at
once. For an hour, or until the disk is full, the data stay in the data folder of the server, below
trash, a folder for each partition: trestle log inspect DATA-DIR says of which stream it is.`,
		Example: `  trestle stream rm orders
  trestle stream rm orders -o json`,
		Args: oneArgument("the NAME of a stream"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			stream := c.Stream(args[0])
			info, err := stream.Info(ctx)
			if err != nil {
				return err
			}
			if err := stream.Delete(ctx); err != nil {
				return err
			}
			if out.is(formatJSON) {
				return inv.print(string(deletedJSON(&info)))
			}
			return inv.print(deletedText(&info))
		})
	}
	return cmd
}

// modeCommand is a command that changes the mode of partitions.
type modeCommand struct {
	cmd        *cobra.Command
	address    *addressFlag
	out        *outputFlag
	partitions partitionsFlag
}

func (inv *invocation) newModeCommand(cmd *cobra.Command) *modeCommand {
	m := &modeCommand{cmd: cmd, out: newOutputFlag(formatText, formatJSON)}
	cmd.Args = oneArgument("the NAME of a stream")
	m.address = addAddressFlag(inv, cmd)
	cmd.Flags().SortFlags = false
	cmd.Flags().Var(&m.partitions, "partition", "partition `N` only; may be repeated (default: all)")
	return m
}

// runs makes the command call change and print the stream as it is then.
func (m *modeCommand) runs(inv *invocation, change func(ctx context.Context, s *client.Stream, partitions ...int) error) *cobra.Command {
	m.out.addTo(m.cmd)
	m.cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return m.address.call(cmd, func(ctx context.Context, c *client.Client) error {
			stream := c.Stream(args[0])
			if err := change(ctx, stream, m.partitions...); err != nil {
				return err
			}
			return inv.printStream(ctx, stream, m.out, modeText)
		})
	}
	return m.cmd
}

func newStreamPauseCommand(inv *invocation) *cobra.Command {
	m := inv.newModeCommand(&cobra.Command{
		Use:   "pause NAME [flags]",
		Short: "Record nothing until resumed",
		Long: `Pause a stream, or some of its partitions: nothing is recorded until stream resume. What is
published meanwhile is missing, and a gap says from when to when; over gRPC it is refused.`,
		Example: `  trestle stream pause orders
  trestle stream pause orders --partition 0 --partition 2`,
	})
	return m.runs(inv, func(ctx context.Context, s *client.Stream, partitions ...int) error {
		return s.Pause(ctx, partitions...)
	})
}

func newStreamResumeCommand(inv *invocation) *cobra.Command {
	m := inv.newModeCommand(&cobra.Command{
		Use:   "resume NAME [flags]",
		Short: "Record again",
		Long: `End what stream pause or stream readonly began, for the stream or some of its partitions. When
the command returns, the next plain NATS message is recorded.`,
		Example: `  trestle stream resume orders
  trestle stream resume orders --partition 0`,
	})
	return m.runs(inv, func(ctx context.Context, s *client.Stream, partitions ...int) error {
		return s.Resume(ctx, partitions...)
	})
}

func newStreamReadOnlyCommand(inv *invocation) *cobra.Command {
	off := false
	m := inv.newModeCommand(&cobra.Command{
		Use:   "readonly NAME [flags]",
		Short: "Take nothing more, serve what there is",
		Long: `Make a stream, or some of its partitions, refuse what is published and serve what there is.
Readers come to an end there instead of waiting. --off makes it take messages again.`,
		Example: `  trestle stream readonly orders
  trestle stream readonly orders --off`,
	})
	m.cmd.Flags().BoolVar(&off, "off", false, "take messages again")
	return m.runs(inv, func(ctx context.Context, s *client.Stream, partitions ...int) error {
		return s.SetReadOnly(ctx, !off, partitions...)
	})
}
