package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

// subFlags are what sub is told.
type subFlags struct {
	partitions partitionsFlag
	from       fromFlag
	to         toFlag
	subject    patternFlag
	count      countFlag
	utf8       bool
	reverse    bool
	gaps       bool
}

func newSubCommand(inv *invocation) *cobra.Command {
	f := subFlags{count: countFlag{least: 1}}
	out := newOutputFlag(formatText, formatJSON, formatRaw)
	cmd := &cobra.Command{
		Use:   "sub STREAM [flags]",
		Short: "Read messages over gRPC",
		Long: `Read the messages of a stream: by default what is new, of all partitions, until Ctrl-C.
Order holds within a partition. Ends are exclusive: --to offset=10 ends with offset 9. With
--reverse it begins at the newest message, or at POSITION, and --to offset=10 ends with 11.
POSITION is new, earliest, latest, offset=N, time=T, ago=D, last=N or cursor=ID; T is
RFC 3339, such as 2026-01-31T18:00:00Z; D is 90s, 12h or 7d. An offset needs one partition.

Formats:
  text  partition@offset time subject [reply=…] [key=…] headers… value
  json  {"stream","partition","offset","timestamp","subject","reply","key","value",
        "headers":{name:[…]}}, one a line; key, value and header values are base64,
        with --utf8 text; what is absent is null
  raw   the bytes of the values and nothing else

JSON holds text only, and a message any bytes. What is not UTF-8 is named otherwise, and
in base64: "subject_base64", "reply_base64", with --utf8 also "key_base64" and
"value_base64"; and headers whose name, or with --utf8 one of whose values, is not UTF-8
are in "headers_base64":{name:[…]}, names and values in base64.

Where messages are missing that could not be recorded, stderr says so; with --gaps that
is a line of JSON among the messages, {"gap":{"stream","partition","offset","cause",
"from","to","at_least"}}. Stderr also says when the connection to the server is lost, and
when there is one again, but not with -o json.`,
		Example: `  trestle sub orders --from earliest
  trestle sub orders --from earliest --to latest -o raw > orders.bin
  trestle sub orders --from time=2026-01-31T18:00:00Z --subject 'orders.*.paid' -o json --utf8
  trestle sub orders --from ago=1h --count 10
  trestle sub orders --partition 0 --from offset=100 --to offset=200
  trestle sub orders --reverse --count 10
  trestle sub orders --from cursor=billing --gaps`,
		Args: oneArgument("the name of a STREAM"),
	}
	address := addAddressFlag(inv, cmd)
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(&f.partitions, "partition", "read partition `N` only; may be repeated")
	flags.Var(&f.from, "from", "begin at `POSITION` (default new)")
	flags.Var(&f.to, "to", "end before `POSITION`: latest, offset=N or time=T (default: never)")
	flags.Var(&f.subject, "subject", "print messages on subjects that match `PATTERN` only")
	flags.Var(&f.count, "count", "end after `N` messages")
	flags.BoolVar(&f.utf8, "utf8", false, "in JSON, print keys and values as text")
	flags.BoolVar(&f.reverse, "reverse", false, "read backwards, from newer to older")
	flags.BoolVar(&f.gaps, "gaps", false, "print gaps as JSON among the messages")
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd, out); err != nil {
			return err
		}
		return inv.subscribe(cmd, address, &f, args[0], out.word)
	}
	return cmd
}

// check refuses what cannot go together.
func (f *subFlags) check(cmd *cobra.Command, out *outputFlag) error {
	switch {
	case f.utf8 && !out.is(formatJSON):
		return argumentMisuse(cmd, "--utf8 goes with -o json: %s prints the bytes as they are", out.word)
	case f.gaps && out.is(formatRaw):
		return argumentMisuse(cmd, "--gaps does not go with -o raw, which prints the bytes of values and nothing else")
	case f.reverse && f.from.text == "new":
		return argumentMisuse(cmd, "what is new cannot be read backwards: with --reverse, begin at latest, an offset or a time")
	case f.reverse && f.to.text == "latest":
		return argumentMisuse(cmd, "reading backwards leads away from latest: with --reverse, end at an offset, a time or a --count")
	case len(f.partitions) > 1 && f.from.kind == atOffset:
		return argumentMisuse(cmd, "--from %s needs one --partition, got %d", f.from.text, len(f.partitions))
	case len(f.partitions) > 1 && f.to.kind == atOffset:
		return argumentMisuse(cmd, "--to %s needs one --partition, got %d", f.to.text, len(f.partitions))
	}
	return nil
}

// options are what the flags say about the subscription.
func (f *subFlags) options() []client.SubscribeOption {
	var opts []client.SubscribeOption
	if len(f.partitions) > 0 {
		opts = append(opts, client.Partitions(f.partitions...))
	}
	if f.reverse {
		opts = append(opts, client.Backwards())
	}
	if f.from.text != "" {
		opts = append(opts, f.from.start())
	}
	if f.to.text != "" {
		opts = append(opts, f.to.stop())
	}
	return opts
}

// start is the position as the client takes it.
func (p *position) start() client.SubscribeOption {
	switch p.kind {
	case atEarliest:
		return client.FromEarliest()
	case atLatest:
		return client.FromLatest()
	case atOffset:
		return client.FromOffset(p.offset)
	case atTime:
		return client.FromTime(p.time)
	case atAgo:
		return client.FromAgo(p.ago)
	case atLast:
		return client.FromLast(p.last)
	case atCursor:
		return client.FromCursor(p.cursor)
	default:
		return client.FromNew()
	}
}

func (p *position) stop() client.SubscribeOption {
	switch p.kind {
	case atOffset:
		return client.UntilOffset(p.offset)
	case atTime:
		return client.UntilTime(p.time)
	default:
		return client.UntilLatest()
	}
}

// subscribe prints messages until the stop position, the count, a signal or the end of ctx.
func (inv *invocation) subscribe(cmd *cobra.Command, address *addressFlag, f *subFlags, name, format string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The second signal is not for us: it ends a process whose output is stuck.
	defer context.AfterFunc(ctx, stop)()

	p := newPrinter(inv, f, name, format)
	err := inv.subscribeTo(ctx, cmd, address, f, name, p)
	if ctx.Err() != nil {
		// Whatever failed did so because it was told to end.
		err = nil
	}
	if flushed := p.flush(); err == nil {
		err = flushed
	}
	return err
}

func (inv *invocation) subscribeTo(ctx context.Context, cmd *cobra.Command, address *addressFlag, f *subFlags, name string, p *printer) error {
	c, err := address.connect(ctx, cmd, p.outages(address)...)
	if err != nil {
		return err
	}
	defer closeQuietly(c)
	feed := newFeed()
	sub, err := f.begin(ctx, c.Stream(name), client.OnGap(feed.gap))
	if err != nil {
		return err
	}
	defer sub.Stop()
	return feed.run(ctx, sub.Batches, p)
}

// begin subscribes to the stream as the flags say.
func (f *subFlags) begin(ctx context.Context, stream *client.Stream, more ...client.SubscribeOption) (*client.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if len(f.partitions) == 0 && (f.from.kind == atOffset || f.to.kind == atOffset) {
		n, err := partitionsOf(ctx, stream)
		if err != nil {
			return nil, err
		}
		if n > 1 {
			return nil, &client.Error{
				Reason:  reasonInvalid,
				Message: fmt.Sprintf("stream %q has %d partitions, each with offsets of its own; name the partition with --partition", stream.Name(), n),
				Names:   map[string]string{"stream": stream.Name()},
			}
		}
	}
	return stream.Subscribe(ctx, append(f.options(), more...)...)
}

func partitionsOf(ctx context.Context, stream *client.Stream) (int, error) {
	info, err := stream.Info(ctx)
	return info.Config.Partitions, err
}
