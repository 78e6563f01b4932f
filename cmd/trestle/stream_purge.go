package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newStreamPurgeCommand(inv *invocation) *cobra.Command {
	var to toFlag
	var partitions partitionsFlag
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "purge NAME [flags]",
		Short: "Delete the oldest messages",
		Long: `Delete the messages of a stream, or the oldest of them, for good. Nothing is asked back, and
nothing goes into the trash. The stream goes on: offsets are not given again.

Ends are exclusive: --to offset=10 keeps the message at offset 10 and what follows, --to time=T
what was stored at T or later. Without --to nothing stays of what is there. An offset needs one
--partition where the stream has several.`,
		Example: `  trestle stream purge orders
  trestle stream purge orders --to offset=1000
  trestle stream purge orders --to time=2026-01-31T18:00:00Z
  trestle stream purge orders --partition 2 --to offset=1000 -o json`,
		Args: oneArgument("the NAME of a stream"),
	}
	address := addAddressFlag(inv, cmd)
	cmd.Flags().SortFlags = false
	cmd.Flags().Var(&to, "to", "delete what is before `POSITION`: latest, offset=N or time=T (default latest)")
	cmd.Flags().Var(&partitions, "partition", "partition `N` only; may be repeated (default: all)")
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if to.kind == atOffset && len(partitions) > 1 {
			return argumentMisuse(cmd, "--to %s needs one --partition, got %d", to.text, len(partitions))
		}
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			purged, err := purge(ctx, c.Stream(args[0]), &to, partitions)
			if err != nil {
				return err
			}
			if out.is(formatJSON) {
				return inv.print(string(purgedJSON(args[0], purged)))
			}
			return inv.print(purgedText(args[0], purged, to.kind == atOffset))
		})
	}
	return cmd
}

func purge(ctx context.Context, s *client.Stream, to *toFlag, partitions []int) ([]client.Purged, error) {
	switch to.kind {
	case atOffset:
		partition := 0
		if len(partitions) == 1 {
			partition = partitions[0]
		} else if n, err := partitionsOf(ctx, s); err != nil {
			return nil, err
		} else if n > 1 {
			return nil, fmt.Errorf("stream %s has %d partitions, each with offsets of its own; say which with --partition", s.Name(), n)
		}
		return s.PurgeToOffset(ctx, partition, to.offset)
	case atTime:
		return s.PurgeToTime(ctx, to.time, partitions...)
	default:
		return s.Purge(ctx, partitions...)
	}
}

// purgedText says where partitions begin now, and how much is gone, unless the offset to begin at was named.
func purgedText(stream string, purged []client.Purged, named bool) string {
	var b strings.Builder
	if !named {
		var gone int64
		for _, p := range purged {
			gone += p.LogStart - p.PreviousLogStart
		}
		fmt.Fprintf(&b, "%s messages of stream %s are gone for good\n", count(gone), stream)
	}
	for _, p := range purged {
		if p.LogStart == p.PreviousLogStart {
			fmt.Fprintf(&b, "partition %d of stream %s begins at offset %d, as before\n", p.Partition, stream, p.LogStart)
			continue
		}
		fmt.Fprintf(&b, "partition %d of stream %s begins at offset %d now, no more at %d\n", p.Partition, stream, p.LogStart, p.PreviousLogStart)
	}
	return b.String()
}

func purgedJSON(stream string, purged []client.Purged) []byte {
	o := jsonObject{dst: []byte{'{'}}
	o.text("name", stream)
	o.name("partitions")
	o.dst = append(o.dst, '[')
	for i, p := range purged {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		one := jsonObject{dst: append(o.dst, '{')}
		one.number("id", int64(p.Partition))
		one.number("log_start", p.LogStart)
		one.number("previous_log_start", p.PreviousLogStart)
		o.dst = append(one.dst, '}')
	}
	return append(o.dst, ']', '}', '\n')
}
