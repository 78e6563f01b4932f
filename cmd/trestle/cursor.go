package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newCursorCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cursor",
		Short: "Keep the positions of readers on the server",
		Long: `Keep the positions of readers on the server: a cursor is an ID and, in one partition of a stream,
the offset of the next message to read. trestle sub --from cursor=ID begins there.`,
		Example: `  trestle cursor set billing orders 0 17
  trestle cursor get billing orders 0
  trestle sub orders --from cursor=billing
  trestle cursor ls orders`,
		Args: commandOnly,
		RunE: commandLacking,
	}
	cmd.AddCommand(newCursorSetCommand(inv), newCursorGetCommand(inv), newCursorListCommand(inv), newCursorRemoveCommand(inv))
	return cmd
}

// cursorArguments are ID STREAM PARTITION, and OFFSET where that is wanted.
type cursorArguments struct {
	id, stream string
	partition  partitionFlag
	offset     int64
	withOffset bool
}

func (a *cursorArguments) read(cmd *cobra.Command, args []string) (err error) {
	want := []string{"an ID", "a STREAM", "a PARTITION", "an OFFSET"}
	if !a.withOffset {
		want = want[:3]
	}
	if len(args) != len(want) {
		return argumentMisuse(cmd, "needs %s, got %d of them", strings.Join(want, ", "), len(args))
	}
	for i, arg := range args {
		if arg == "" {
			return argumentMisuse(cmd, "needs %s, got an empty one", want[i])
		}
	}
	a.id, a.stream = args[0], args[1]
	if err := a.partition.Set(args[2]); err != nil {
		return valueMisuse(cmd, "PARTITION", args[2], err)
	}
	if a.withOffset {
		if a.offset, err = parseOffset(args[3]); err != nil {
			return valueMisuse(cmd, "OFFSET", args[3], &misuse{message: "not an offset", remedy: "offsets are numbered from 0: write 17"})
		}
	}
	return nil
}

// placed says of which partition of which stream an answer is that knows offsets alone.
func (a *cursorArguments) placed(err error) error {
	if errors.Is(err, client.ErrOffsetBeyondEnd) {
		return fmt.Errorf("stream %q, partition %d: %w", a.stream, a.partition, err)
	}
	return err
}

func (a *cursorArguments) of(c *client.Client) *client.Cursor {
	return c.Stream(a.stream).Cursor(a.id, int(a.partition))
}

func newCursorSetCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set ID STREAM PARTITION OFFSET [flags]",
		Short: "Store a position",
		Long: `Store the offset of the next message to read. The server answers when that is as safe as a
message. One beyond the next offset of the partition is refused.`,
		Example: `  trestle cursor set billing orders 0 17`,
	}
	return cursorCommand(inv, cmd, true, func(ctx context.Context, c *client.Cursor, a *cursorArguments) error {
		if err := c.Set(ctx, a.offset); err != nil {
			return a.placed(err)
		}
		return nil
	})
}

func newCursorGetCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get ID STREAM PARTITION [flags]",
		Short: "Read a position",
		Long:  "Read a stored position: the offset of the next message to read.",
		Example: `  trestle cursor get billing orders 0
  trestle cursor get billing orders 0 -o json`,
	}
	return cursorCommand(inv, cmd, false, func(context.Context, *client.Cursor, *cursorArguments) error { return nil })
}

// cursorCommand runs call and prints the cursor as it is then.
func cursorCommand(
	inv *invocation, cmd *cobra.Command, withOffset bool, call func(context.Context, *client.Cursor, *cursorArguments) error,
) *cobra.Command {
	a, out := &cursorArguments{withOffset: withOffset}, newOutputFlag(formatText, formatJSON)
	cmd.Args = a.read
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			if err := call(ctx, a.of(c), a); err != nil {
				return err
			}
			info, err := a.of(c).Get(ctx)
			if err != nil {
				return err
			}
			if out.is(formatJSON) {
				return inv.print(string(appendCursorJSON(nil, &info)))
			}
			return inv.print(cursorText(&info))
		})
	}
	return cmd
}

func newCursorRemoveCommand(inv *invocation) *cobra.Command {
	a, out := &cursorArguments{}, newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:     "rm ID STREAM PARTITION [flags]",
		Short:   "Forget a position",
		Long:    "Forget a stored position. One that there is not is a success.",
		Example: `  trestle cursor rm billing orders 0`,
		Args:    a.read,
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			if err := a.of(c).Delete(ctx); err != nil {
				return err
			}
			if out.is(formatText) {
				return inv.print(fmt.Sprintf("cursor %s: no longer in %s/%d\n", a.id, a.stream, a.partition))
			}
			o := jsonObject{dst: []byte{'{'}}
			o.text("id", a.id)
			o.text("stream", a.stream)
			o.number("partition", int64(a.partition))
			o.truth("deleted", true)
			return inv.print(string(append(o.dst, '}', '\n')))
		})
	}
	return cmd
}

func newCursorListCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "ls STREAM [flags]",
		Short: "List the positions in a stream",
		Long:  "List the stored positions in a stream, in the order of IDs and then of partitions.",
		Example: `  trestle cursor ls orders
  trestle cursor ls orders -o json`,
		Args: oneArgument("the name of a STREAM"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			var cursors []client.CursorInfo
			for info, err := range c.Stream(args[0]).Cursors(ctx) {
				if err != nil {
					return err
				}
				cursors = append(cursors, info)
			}
			if out.is(formatJSON) {
				var lines []byte
				for i := range cursors {
					lines = appendCursorJSON(lines, &cursors[i])
				}
				return inv.print(string(lines))
			}
			return inv.print(cursorTable(args[0], cursors))
		})
	}
	return cmd
}

func cursorText(info *client.CursorInfo) string {
	return fmt.Sprintf("cursor %s: next is %s/%d@%d, set %s\n", info.ID, info.Stream, info.Partition, info.NextOffset, formatTime(info.Time))
}

func cursorTable(stream string, cursors []client.CursorInfo) string {
	if len(cursors) == 0 {
		return fmt.Sprintf("no cursors in stream %s\n", stream)
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tPARTITION\tNEXT\tSET")
	for i := range cursors {
		c := &cursors[i]
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", c.ID, c.Partition, c.NextOffset, formatTime(c.Time))
	}
	// A strings.Builder takes all that is written to it.
	_ = table.Flush()
	return b.String()
}

// appendCursorJSON renders a cursor as one line. An epoch of 0 means that it is not known.
func appendCursorJSON(dst []byte, info *client.CursorInfo) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.text("id", info.ID)
	o.text("stream", info.Stream)
	o.number("partition", int64(info.Partition))
	o.number("next_offset", info.NextOffset)
	o.name("leader_epoch")
	o.dst = strconv.AppendUint(o.dst, info.LeaderEpoch, 10)
	o.text("timestamp", formatTime(info.Time))
	return append(o.dst, '}', '\n')
}
