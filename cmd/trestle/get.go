package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newGetCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON, formatRaw)
	utf8 := false
	cmd := &cobra.Command{
		Use:   "get STREAM PARTITION OFFSET [flags]",
		Short: "Read one message",
		Long: `Read the message at an offset of a partition. It is an error when nothing is committed there
yet, and when retention or compaction have taken it away. The formats are those of sub.`,
		Example: `  trestle get orders 0 17
  trestle get orders 0 17 -o raw > 17.bin
  trestle get orders 0 17 -o json --utf8`,
	}
	var partition partitionFlag
	var offset int64
	cmd.Args = func(cmd *cobra.Command, args []string) (err error) {
		if len(args) != 3 || args[0] == "" {
			return argumentMisuse(cmd, "needs a STREAM, a PARTITION and an OFFSET, got %d of them", len(args))
		}
		if err := partition.Set(args[1]); err != nil {
			return valueMisuse(cmd, "PARTITION", args[1], err)
		}
		if offset, err = parseOffset(args[2]); err != nil {
			return valueMisuse(cmd, "OFFSET", args[2], &misuse{message: "not an offset", remedy: "offsets are numbered from 0: write 17"})
		}
		if utf8 && !out.is(formatJSON) {
			return argumentMisuse(cmd, "--utf8 goes with -o json: %s prints the bytes as they are", out.word)
		}
		return nil
	}
	address := addAddressFlag(inv, cmd)
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&utf8, "utf8", false, "in JSON, print key and values as text")
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			m, err := c.Stream(args[0]).Get(ctx, int(partition), offset)
			if err != nil {
				return err
			}
			return inv.print(string(rendered(m, out, utf8)))
		})
	}
	return cmd
}

// rendered is one message in a format of sub.
func rendered(m *client.Message, out *outputFlag, utf8 bool) []byte {
	switch {
	case out.is(formatRaw):
		return m.Value
	case out.is(formatJSON):
		r := messageJSON{utf8: utf8}
		return r.append(nil, m)
	default:
		var r messageText
		return r.append(nil, m)
	}
}
