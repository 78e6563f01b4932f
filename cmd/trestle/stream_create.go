package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/metadata/names"
)

// createFlags are what stream create is told about the stream. What is not told is the server's to choose.
type createFlags struct {
	subjects       patternsFlag
	partitions     countFlag
	partitionBy    partitionRuleFlag
	replicas       countFlag
	minISR         countFlag
	retainAge      durationFlag
	retainBytes    sizeFlag
	retainMessages countFlag
	segmentBytes   sizeFlag
	segmentAge     durationFlag
	compact        bool
	sync           choiceFlag
	syncInterval   durationFlag
	storage        choiceFlag
	dedupWindow    durationFlag
	queue          string
	fanout         bool
	reply          choiceFlag
	maxMessage     sizeFlag
	hash           choiceFlag
	requireOffset  bool
}

func newStreamCreateCommand(inv *invocation) *cobra.Command {
	var f createFlags
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "create NAME --subject SUBJECT [--subject SUBJECT]… [flags]",
		Short: "Create a stream",
		Long: `Create a stream that records what is published on its subjects. When the command
returns, the stream captures: the next plain NATS message is recorded.

What is not given is the server's to choose, and is printed. A limit of 0 means none. A
stream of that name with the same configuration is success, with another an error that
lists the differences. SIZE is 10MiB, 10MB or bytes; D is 90s, 12h or 7d.`,
		Example: `  trestle stream create orders --subject 'orders.>'
  trestle stream create audit --subject audit --subject 'login.*' --max-message 1MiB --segment-bytes 64MiB
  trestle stream create orders --subject 'orders.>' -o json`,
		Args: oneArgument("a NAME"),
	}
	address := addAddressFlag(inv, cmd)
	f.addTo(cmd.Flags())
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := f.config(cmd, args[0])
		if err != nil {
			return err
		}
		return inv.createStream(cmd, address, cfg, out)
	}
	return cmd
}

func (f *createFlags) addTo(flags *pflag.FlagSet) {
	f.partitions, f.replicas, f.minISR = countFlag{least: 1}, countFlag{least: 1}, countFlag{least: 1}
	f.sync.words = []string{"ack", "interval", "none"}
	f.storage.words = []string{"disk", "memory"}
	f.reply.words = []string{"none", "puback"}
	f.hash.words = []string{"murmur3", "crc32"}

	flags.SortFlags = false
	flags.Var(&f.subjects, "subject", "record this NATS `SUBJECT`, wildcards allowed; may be repeated")
	flags.Var(&f.partitions, "partitions", "have `N` partitions")
	flags.Var(&f.partitionBy, "partition-by", "share out plain messages by none, subject, token=N or header=NAME")
	flags.Var(&f.replicas, "replicas", "keep every partition on `N` brokers (1 in this version)")
	flags.Var(&f.minISR, "min-isr", "take messages while `N` replicas are in sync")
	flags.Var(&f.retainAge, "retain-age", "delete what is older than `D`")
	flags.Var(&f.retainBytes, "retain-bytes", "delete the oldest beyond `SIZE`, in each partition")
	flags.Var(&f.retainMessages, "retain-messages", "delete the oldest beyond `N` messages, in each partition")
	flags.Var(&f.segmentBytes, "segment-bytes", "begin a new file after `SIZE`")
	flags.Var(&f.segmentAge, "segment-age", "begin a new file after `D`")
	flags.BoolVar(&f.compact, "compact", false, "keep the newest message of each key only")
	flags.Var(&f.sync, "sync", "fsync before every ack, at an interval, or never: `WHEN` is ack, interval or none")
	flags.Var(&f.syncInterval, "sync-interval", "fsync every `D`, with --sync interval")
	flags.Var(&f.storage, "storage", "keep messages on disk or in memory: `WHERE` is disk or memory (disk only in this version)")
	flags.Var(&f.dedupWindow, "dedup-window", "store a message with the same id once within `D`")
	flags.StringVar(&f.queue, "queue", "", "share the messages of the subjects with the streams of the same `GROUP`")
	flags.BoolVar(&f.fanout, "fanout", false, "publish on NATS what is published over gRPC")
	flags.Var(&f.reply, "reply", "answer NATS requests as JetStream would: `HOW` is none or puback")
	flags.Var(&f.maxMessage, "max-message", "refuse messages larger than `SIZE`")
	flags.Var(&f.hash, "hash", "find the partition of a key by `FUNCTION`: murmur3 or crc32 (murmur3 only in this version)")
	flags.BoolVar(&f.requireOffset, "require-expected-offset", false, "heed expected offsets in envelopes, too")
}

// config is what the flags say. Which of it the server can do is for the server to say.
func (f *createFlags) config(cmd *cobra.Command, name string) (client.StreamConfig, error) {
	if err := names.Stream(name); err != nil {
		m := nameMisuse(err)
		return client.StreamConfig{}, valueMisuse(cmd, "NAME", name, m)
	}
	if len(f.subjects) == 0 {
		return client.StreamConfig{}, &misuse{
			message: cmd.CommandPath() + ": needs --subject: a stream records NATS subjects",
			remedy:  "write " + cmd.CommandPath() + " " + name + " --subject '" + name + ".>'",
			names:   map[string]string{"flag": "--subject"},
		}
	}
	return f.settings(cmd, name), nil
}

// settings are what the flags say about the stream of that name.
func (f *createFlags) settings(cmd *cobra.Command, name string) client.StreamConfig {
	limits := limitReader{flags: cmd.Flags()}
	return client.StreamConfig{
		Name:                  name,
		Subjects:              f.subjects,
		Partitions:            int(f.partitions.n),
		Replicas:              int(f.replicas.n),
		MinISR:                int(f.minISR.n),
		RetainAge:             time.Duration(limits.read("retain-age", int64(f.retainAge))),
		RetainBytes:           limits.read("retain-bytes", int64(f.retainBytes)),
		RetainMessages:        limits.read("retain-messages", f.retainMessages.n),
		SegmentBytes:          limits.read("segment-bytes", int64(f.segmentBytes)),
		SegmentAge:            time.Duration(limits.read("segment-age", int64(f.segmentAge))),
		Sync:                  client.Sync(f.sync.word),
		SyncInterval:          time.Duration(limits.read("sync-interval", int64(f.syncInterval))),
		Storage:               client.Storage(f.storage.word),
		KeyHash:               client.KeyHash(f.hash.word),
		DedupWindow:           time.Duration(limits.read("dedup-window", int64(f.dedupWindow))),
		MaxMessageBytes:       limits.read("max-message", int64(f.maxMessage)),
		QueueGroup:            f.queue,
		Fanout:                f.fanout,
		Reply:                 client.Reply(f.reply.word),
		Compact:               f.compact,
		RequireExpectedOffset: f.requireOffset,
		PartitionBy:           f.partitionBy.rule,
	}
}

// limitReader tells a limit that was given as 0, which means none, from one that was not given.
type limitReader struct{ flags *pflag.FlagSet }

func (r limitReader) read(flag string, value int64) int64 {
	if value == 0 && r.flags.Changed(flag) {
		return client.None
	}
	return value
}

func (inv *invocation) createStream(cmd *cobra.Command, address *addressFlag, cfg client.StreamConfig, out *outputFlag) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), callTime)
	defer cancel()
	c, err := address.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer closeQuietly(c)
	stream, err := c.CreateStream(ctx, cfg)
	existed := errors.Is(err, client.ErrStreamExists)
	if existed {
		stream, err = c.EnsureStream(ctx, cfg)
	}
	if err != nil {
		return settingsRefused(ctx, c, cmd.Flags(), err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	if out.is(formatJSON) {
		return inv.print(string(appendStreamJSON(nil, &info, &existed)))
	}
	return inv.print(createdText(&info, existed))
}

// partitionRuleFlag says how plain messages are shared out.
type partitionRuleFlag struct {
	rule client.PartitionRule
	text string
}

func (f *partitionRuleFlag) Set(text string) error {
	word, value, hasValue := strings.Cut(text, "=")
	switch {
	case word == "none" && !hasValue:
		f.rule = client.PartitionRule{}
	case word == "subject" && !hasValue:
		f.rule = client.PartitionRule{Subject: true}
	case word == "header" && value != "":
		f.rule = client.PartitionRule{Header: value}
	case word == "token" && hasValue:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 1 {
			return &misuse{message: "not a token of a subject", remedy: "tokens are counted from 1: write token=2"}
		}
		f.rule = client.PartitionRule{Token: int(n)}
	default:
		return &misuse{message: "no such choice", remedy: "write none, subject, token=N or header=NAME"}
	}
	f.text = text
	return nil
}

func (f *partitionRuleFlag) String() string { return f.text }
func (f *partitionRuleFlag) Type() string   { return "BY" }
