package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

// batchTime bounds how long one batch may take to be acked.
const batchTime = 30 * time.Second

// pubFlags are what pub is told.
type pubFlags struct {
	key       string
	headers   headersFlag
	id        string
	subject   literalFlag
	partition partitionFlag
	ack       choiceFlag
	expect    countFlag
	count     countFlag
	lines     bool
	byKey     bool
	inTurn    bool

	// Whether the flags were given at all: an empty key is a key, partition 0 is a choice, offset 0 an expectation.
	keyed, placed, expecting bool
}

func newPubCommand(inv *invocation) *cobra.Command {
	f := pubFlags{ack: choiceFlag{words: []string{"none", "leader", "all"}}, count: countFlag{least: 1}}
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "pub STREAM VALUE|- [flags]",
		Short: "Publish messages over gRPC",
		Long: `Publish a message: VALUE, or all of stdin with -; with --lines every line of stdin is a
message of its own, without its line feed. It is acked when it is fsynced on every
replica in sync (--ack all, the default), on the leader (leader), or not at all (none).

One message prints where it is stored, more than one print one line in all. A VALUE that
begins with a dash goes behind --. Plain NATS publishers need none of this: see nats pub.`,
		Example: `  trestle pub orders '{"id":42}' --subject orders.42 --key 42
  trestle pub orders - < picture.png
  seq 1000 | trestle pub orders --lines
  trestle pub orders hello --count 100000
  trestle pub orders 'once' --id payment-17 --header 'Trace-Id:7f3a'
  trestle pub orders -- -5`,
	}
	address := addAddressFlag(inv, cmd)
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.key, "key", "", "give the message the key `K`, by which it finds its partition")
	flags.Var(&f.headers, "header", "add a header `K:V`: the value is all that stands behind the first colon; may be repeated")
	flags.StringVar(&f.id, "id", "", "store the message once within the dedup window, however often `ID` is published")
	flags.Var(&f.subject, "subject", "which of the stream's subjects the message is on")
	flags.Var(&f.partition, "partition", "publish to partition `N` (default: the server chooses, by the key)")
	flags.BoolVar(&f.byKey, "by-key", false, "publish to the partition of the key, found out here")
	flags.BoolVar(&f.inTurn, "round-robin", false, "publish to each partition in turn, whatever the key")
	flags.Var(&f.ack, "ack", "wait for `WHOM`: none, leader or all (default all)")
	flags.Var(&f.expect, "expect", "store the message at offset `N` or not at all; of several, the first")
	flags.Var(&f.count, "count", "publish the message `N` times")
	flags.BoolVar(&f.lines, "lines", false, "publish every line of stdin")
	out.addTo(cmd)
	cmd.Args = f.checkArguments
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values, err := inv.values(&f, args)
		if err != nil {
			return err
		}
		return inv.publish(cmd, address, &f, args[0], values, out)
	}
	return cmd
}

// checkArguments wants STREAM and VALUE, or STREAM and --lines.
func (f *pubFlags) checkArguments(cmd *cobra.Command, args []string) error {
	counted, named := cmd.Flags().Changed("count"), cmd.Flags().Changed("id")
	switch {
	case len(args) == 0 || args[0] == "":
		return argumentMisuse(cmd, "needs a STREAM and a VALUE")
	case len(args) == 1 && !f.lines:
		return argumentMisuse(cmd, "needs a VALUE, - for all of stdin, or --lines")
	case len(args) > 2:
		return argumentMisuse(cmd, "takes one VALUE, got %q as well; put quotes around a VALUE with spaces", args[2])
	case f.lines && len(args) == 2 && args[1] != "-":
		return argumentMisuse(cmd, "--lines reads values from stdin and takes no VALUE, got %q", args[1])
	case f.lines && counted:
		return argumentMisuse(cmd, "--lines and --count exclude each other")
	case f.lines && named:
		return argumentMisuse(cmd, "--id names one message: it does not go with --lines")
	case f.count.n > 1 && named:
		return argumentMisuse(cmd, "--id names one message: it does not go with --count %d, of which one would be stored", f.count.n)
	case named && f.id == "":
		return argumentMisuse(cmd, "--id is empty")
	case f.ack.word == "none" && cmd.Flags().Changed("expect"):
		return argumentMisuse(cmd, "--expect asks for an answer: it does not go with --ack none")
	}
	if err := f.checkPartition(cmd); err != nil {
		return err
	}
	f.keyed, f.expecting = cmd.Flags().Changed("key"), cmd.Flags().Changed("expect")
	f.placed = cmd.Flags().Changed("partition")
	return nil
}

// checkPartition refuses what does not go together about the partition.
func (f *pubFlags) checkPartition(cmd *cobra.Command) error {
	ways := 0
	for _, flag := range []string{"partition", "by-key", "round-robin"} {
		if cmd.Flags().Changed(flag) {
			ways++
		}
	}
	switch {
	case ways > 1:
		return argumentMisuse(cmd, "--partition, --by-key and --round-robin exclude each other")
	case f.inTurn && cmd.Flags().Changed("expect"):
		return argumentMisuse(cmd, "--expect needs one partition: it does not go with --round-robin")
	case f.inTurn && f.id != "":
		return argumentMisuse(cmd, "--id is remembered in one partition: it does not go with --round-robin")
	}
	return nil
}

// options are what the flags say about a batch whose first message is the one after so many others.
func (f *pubFlags) options(before int) []client.PublishOption {
	var opts []client.PublishOption
	switch f.ack.word {
	case "none":
		opts = append(opts, client.AckNone())
	case "leader":
		opts = append(opts, client.AckLeader())
	default:
		opts = append(opts, client.AckAll())
	}
	if f.keyed {
		opts = append(opts, client.Key(f.key))
	}
	for _, h := range f.headers {
		opts = append(opts, client.Header(h.name, h.value))
	}
	if f.id != "" {
		opts = append(opts, client.ID(f.id))
	}
	if f.subject != "" {
		opts = append(opts, client.OnSubject(string(f.subject)))
	}
	if f.placed {
		opts = append(opts, client.To(int(f.partition)))
	}
	if f.expecting {
		opts = append(opts, client.ExpectNext(f.expect.n+int64(before)))
	}
	return opts
}

// publish publishes batch by batch, each acked before the next, and says in the end what became of them.
func (inv *invocation) publish(cmd *cobra.Command, address *addressFlag, f *pubFlags, name string, values valueBatches, out *outputFlag) error {
	c, err := address.connect(cmd.Context(), cmd)
	if err != nil {
		return err
	}
	defer closeQuietly(c)
	stream := c.Stream(name)
	if f.id != "" {
		if err := checkRemembersIDs(cmd.Context(), stream); err != nil {
			return err
		}
	}
	summary := pubSummary{stream: name}
	if f.count.n > 1 { // lines may come for ever, as slowly as they like
		summary.progress = newProgressReport(inv.stderr, "published", out)
	}
	began := time.Now()
	last, err := f.publishAll(cmd.Context(), stream, values, &summary)
	if err != nil {
		return afterSome(&summary, f.refused(cmd.Context(), c, err))
	}
	summary.spent = time.Since(began)
	switch one := summary.messages == 1; {
	case one && out.is(formatJSON):
		return inv.print(string(appendAckJSON(nil, &last)))
	case one:
		return inv.print(ackText(&last))
	case out.is(formatJSON):
		return inv.print(string(summary.json()))
	default:
		return inv.print(summary.text())
	}
}

// publishAll publishes batch by batch, adds up the acks, and returns the last.
func (f *pubFlags) publishAll(ctx context.Context, stream *client.Stream, values valueBatches, summary *pubSummary) (last client.Ack, err error) {
	if f.inTurn {
		return f.publishInTurn(ctx, stream, values, summary)
	}
	by, err := f.partitioner(ctx, stream)
	if err != nil {
		return last, err
	}
	for values, err := range values {
		if err == nil {
			last, err = publishBatch(ctx, stream, values, append(f.options(summary.messages), by...))
		}
		if err != nil {
			return last, err
		}
		summary.add(&last, len(values))
	}
	return last, nil
}

// partitioner is that of --by-key: the stream says by which hash.
func (f *pubFlags) partitioner(ctx context.Context, stream *client.Stream) ([]client.PublishOption, error) {
	if !f.byKey {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	if info.Config.KeyHash == client.KeyHashCRC32 {
		return []client.PublishOption{client.PartitionBy(client.ByKeyCRC32())}, nil
	}
	return []client.PublishOption{client.PartitionBy(client.ByKey())}, nil
}

// checkRemembersIDs refuses an id where the stream would store the message again all the same.
func checkRemembersIDs(ctx context.Context, stream *client.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	if info.Config.DedupWindow <= 0 {
		return &client.Error{
			Reason: reasonNoDedup,
			Message: fmt.Sprintf("stream %q has no dedup window, so --id would not keep a second copy out; "+
				"leave --id out, or choose a stream with a dedup window", stream.Name()),
			Names: map[string]string{"stream": stream.Name(), "flag": "--id"},
		}
	}
	return nil
}

func publishBatch(ctx context.Context, stream *client.Stream, values [][]byte, opts []client.PublishOption) (client.Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	messages := make([]client.Message, len(values))
	for i, value := range values {
		messages[i].Value = value
	}
	return stream.PublishBatch(ctx, messages, opts...)
}

// afterSome says what is already stored when a later batch fails.
func afterSome(summary *pubSummary, err error) error {
	if summary.messages == 0 {
		return err
	}
	if errors.Is(err, errValueTooLong) {
		return fmt.Errorf("%s messages are published, but then: %w", count(summary.messages), err)
	}
	return fmt.Errorf("%s messages are published, the next were not acked: %w", count(summary.messages), err)
}
