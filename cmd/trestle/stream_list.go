package main

import (
	"context"
	"path"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newStreamListCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "ls [GLOB] [flags]",
		Short: "List streams",
		Long: `List streams in the order of their names: all, or those that match a pattern of * ? and [a-z].
With -o json each is a line as of stream info.`,
		Example: `  trestle stream ls
  trestle stream ls 'orders-*'
  trestle stream ls -o json`,
		Args: atMostOneArgument("a GLOB"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		glob := ""
		if len(args) == 1 {
			glob = args[0]
		}
		if _, err := path.Match(glob, ""); err != nil {
			return valueMisuse(cmd, "GLOB", glob, &misuse{message: "not a pattern", remedy: "write one of * ? and [a-z], such as 'orders-*'"})
		}
		return inv.listStreams(cmd, address, glob, out)
	}
	return cmd
}

func (inv *invocation) listStreams(cmd *cobra.Command, address *addressFlag, glob string, out *outputFlag) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), callTime)
	defer cancel()
	c, err := address.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer closeQuietly(c)
	var streams []client.StreamInfo
	for info, err := range c.Streams(ctx, glob) {
		if err != nil {
			return err
		}
		streams = append(streams, info)
	}
	if out.is(formatJSON) {
		var lines []byte
		for i := range streams {
			lines = appendStreamJSON(lines, &streams[i], nil)
		}
		return inv.print(string(lines))
	}
	return inv.print(streamTable(streams, glob))
}
