package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newClusterCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cluster",
		Short:   "Look at the cluster",
		Long:    "Look at the cluster: which brokers there are and which of them are live.",
		Example: `  trestle cluster status`,
		Args:    commandOnly,
		RunE:    commandLacking,
	}
	cmd.AddCommand(newClusterStatusCommand(inv))
	return cmd
}

func newClusterStatusCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Describe the cluster as the server that answers knows it",
		Long: `Describe the cluster as the server that answers knows it: its brokers, where they are, and which
are live, which means that they may lead; and how much the server takes at a time.`,
		Example: `  trestle cluster status
  trestle cluster status --addr localhost:9292 -o json`,
		Args: noArguments,
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return address.call(cmd, func(ctx context.Context, c *client.Client) error {
			info, err := c.Server(ctx)
			if err != nil {
				return err
			}
			if out.is(formatJSON) {
				return inv.print(string(clusterJSON(&info)))
			}
			return inv.print(clusterText(&info))
		})
	}
	return cmd
}

func clusterText(info *client.ServerInfo) string {
	live := 0
	for _, b := range info.Brokers {
		if b.Live {
			live++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s: %d of %d brokers live\n", info.Cluster, live, len(info.Brokers))
	for _, row := range [][2]string{
		{"answered by", info.ID + ", version " + info.Version},
		{"at", "grpc " + info.GRPCAddress + ", http " + info.HTTPAddress + ", nats " + info.NATSURL},
		{"takes", "messages up to " + formatSize(info.Limits.MessageBytes) + ", batches up to " + formatSize(info.Limits.BatchBytes) +
			", " + formatSize(info.Limits.InFlightBytes) + " at a time"},
		{"metadata", "revision " + strconv.FormatUint(info.MetadataRevision, 10) + ", cluster " + info.ClusterUUID},
	} {
		fmt.Fprintf(&b, "  %-12s%s\n", row[0], row[1])
	}
	b.WriteByte('\n')
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BROKER\tADDRESS\tSTATE")
	for _, broker := range info.Brokers {
		state := "away"
		if broker.Live {
			state = "live"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", broker.Name, broker.Address, state)
	}
	// A strings.Builder takes all that is written to it.
	_ = table.Flush()
	return b.String()
}

func clusterJSON(info *client.ServerInfo) []byte {
	o := jsonObject{dst: []byte{'{'}}
	o.text("cluster", info.Cluster)
	o.text("uuid", info.ClusterUUID)
	o.text("id", info.ID)
	o.text("version", info.Version)
	o.text("grpc", info.GRPCAddress)
	o.text("http", info.HTTPAddress)
	o.text("nats", info.NATSURL)
	o.name("metadata_revision")
	o.dst = strconv.AppendUint(o.dst, info.MetadataRevision, 10)
	o.name("limits")
	limits := jsonObject{dst: append(o.dst, '{')}
	limits.number("message_bytes", info.Limits.MessageBytes)
	limits.number("batch_bytes", info.Limits.BatchBytes)
	limits.number("in_flight_bytes", info.Limits.InFlightBytes)
	o.dst = append(limits.dst, '}')
	o.name("brokers")
	o.dst = append(o.dst, '[')
	for i, broker := range info.Brokers {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		b := jsonObject{dst: append(o.dst, '{')}
		b.text("id", broker.Name)
		b.text("address", broker.Address)
		b.truth("live", broker.Live)
		o.dst = append(b.dst, '}')
	}
	return append(o.dst, "]}\n"...)
}
