package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/client"
)

func newStreamEditCommand(inv *invocation) *cobra.Command {
	var f createFlags
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "edit NAME [flags]",
		Short: "Change a stream",
		Long: `Change the configuration of a stream: what is given becomes as given, the rest stays. A limit
of 0 means none. --subject given once or more replaces all subjects. Partitions only grow;
storage, queue group and hash are for ever. SIZE is 10MiB, 10MB or bytes; D is 90s, 12h or 7d.`,
		Example: `  trestle stream edit orders --retain-age 7d --retain-bytes 10GiB
  trestle stream edit orders --retain-age 0
  trestle stream edit orders --subject 'orders.>' --subject 'returns.>'
  trestle stream edit orders --fanout=false -o json`,
		Args: oneArgument("the NAME of a stream"),
	}
	address := addAddressFlag(inv, cmd)
	f.addTo(cmd.Flags())
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		want := f.settings(cmd, args[0])
		changes := changesOf(cmd.Flags(), &want)
		if len(changes) == 0 {
			return argumentMisuse(cmd, "needs a flag that says what to change")
		}
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			stream := c.Stream(args[0])
			err := stream.Update(ctx, func(cfg *client.StreamConfig) {
				for _, change := range changes {
					change(cfg)
				}
			})
			if err != nil {
				return settingsRefused(ctx, c, cmd.Flags(), err)
			}
			return inv.printStream(ctx, stream, out, changedText)
		})
	}
	return cmd
}

// changesOf are the settings whose flags were given, each as a function that makes a configuration have it.
func changesOf(flags *pflag.FlagSet, want *client.StreamConfig) (changes []func(*client.StreamConfig)) {
	for name, change := range map[string]func(*client.StreamConfig){
		"subject":                 func(c *client.StreamConfig) { c.Subjects = want.Subjects },
		"partitions":              func(c *client.StreamConfig) { c.Partitions = want.Partitions },
		"partition-by":            func(c *client.StreamConfig) { c.PartitionBy = want.PartitionBy },
		"replicas":                func(c *client.StreamConfig) { c.Replicas = want.Replicas },
		"min-isr":                 func(c *client.StreamConfig) { c.MinISR = want.MinISR },
		"retain-age":              func(c *client.StreamConfig) { c.RetainAge = want.RetainAge },
		"retain-bytes":            func(c *client.StreamConfig) { c.RetainBytes = want.RetainBytes },
		"retain-messages":         func(c *client.StreamConfig) { c.RetainMessages = want.RetainMessages },
		"segment-bytes":           func(c *client.StreamConfig) { c.SegmentBytes = want.SegmentBytes },
		"segment-age":             func(c *client.StreamConfig) { c.SegmentAge = want.SegmentAge },
		"compact":                 func(c *client.StreamConfig) { c.Compact = want.Compact },
		"sync":                    func(c *client.StreamConfig) { c.Sync = want.Sync },
		"sync-interval":           func(c *client.StreamConfig) { c.SyncInterval = want.SyncInterval },
		"storage":                 func(c *client.StreamConfig) { c.Storage = want.Storage },
		"dedup-window":            func(c *client.StreamConfig) { c.DedupWindow = want.DedupWindow },
		"queue":                   func(c *client.StreamConfig) { c.QueueGroup = want.QueueGroup },
		"fanout":                  func(c *client.StreamConfig) { c.Fanout = want.Fanout },
		"reply":                   func(c *client.StreamConfig) { c.Reply = want.Reply },
		"max-message":             func(c *client.StreamConfig) { c.MaxMessageBytes = want.MaxMessageBytes },
		"hash":                    func(c *client.StreamConfig) { c.KeyHash = want.KeyHash },
		"require-expected-offset": func(c *client.StreamConfig) { c.RequireExpectedOffset = want.RequireExpectedOffset },
	} {
		if flags.Changed(name) {
			changes = append(changes, change)
		}
	}
	return changes
}

// printStream prints a stream as it is now: as JSON, or by text.
func (inv *invocation) printStream(ctx context.Context, stream *client.Stream, out *outputFlag, text func(*client.StreamInfo) string) error {
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	if out.is(formatJSON) {
		return inv.print(string(appendStreamJSON(nil, &info, nil)))
	}
	return inv.print(text(&info))
}
