package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

func newBenchCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure a server, beside what it is to be compared with",
		Long:    "Measure a running server, beside what it is to be compared with, in the same minute.",
		Example: `  trestle bench capture`,
		Args:    commandOnly,
		RunE:    commandLacking,
	}
	cmd.AddCommand(newBenchCaptureCommand(inv), newBenchPublisherCommand(inv))
	return cmd
}

// captureBench is what bench capture is told, and where it happens.
type captureBench struct {
	messages, size, publishers, rounds countFlag
	natsURL                            string

	program string // this one: publishers are processes of their own
	client  *client.Client
}

func newBenchCaptureCommand(inv *invocation) *cobra.Command {
	b := captureBench{
		messages: countFlag{n: 1_000_000, least: 1}, size: countFlag{n: 128, least: 1}, publishers: countFlag{n: 1, least: 1}, rounds: countFlag{n: 3, least: 1},
	}
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "capture [flags]",
		Short: "Measure how fast plain NATS messages are recorded",
		Long: `Publish plain NATS messages from processes of their own, once to a core NATS subscriber, which
keeps nothing, and once to a stream, round after round. A rate is that of all messages from
the first publish to the last message received, or committed. What did not come is counted,
and so are the gaps with which a stream says so.

The stream bench-PID is made for it and deleted. All share the cores of their machines: what
counts is how the two compare, and not either number alone.`,
		Example: `  trestle bench capture
  trestle bench capture --messages 5000000 --size 1024 --publishers 4 -o json`,
		Args: noArguments,
	}
	address := addAddressFlag(inv, cmd)
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(&b.messages, "messages", "publish `N` messages in each half of a round, all publishers together")
	flags.Var(&b.size, "size", "of `N` bytes each")
	flags.Var(&b.publishers, "publishers", "from `N` processes")
	flags.Var(&b.rounds, "rounds", "measure `N` times")
	flags.StringVar(&b.natsURL, "nats", "", "publish to the NATS at `URL` (default: that of the server)")
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if b.program, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program, to start publishers: %w", err)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if b.client, err = address.connect(ctx, cmd); err != nil {
			return err
		}
		defer closeQuietly(b.client)
		rounds, err := b.run(ctx)
		if err != nil {
			return err
		}
		if out.is(formatJSON) {
			return inv.print(string(b.json(rounds)))
		}
		return inv.print(b.text(rounds))
	}
	return cmd
}

// captureRound is what one round measured.
type captureRound struct{ subscriber, capture captureHalf }

// captureHalf is one half of a round.
type captureHalf struct {
	perSecond float64
	lost      int64  // not received, or not in the stream
	gaps      uint64 // of the stream, which say so
}

func (r *captureRound) ratio() float64 { return r.capture.perSecond / r.subscriber.perSecond }

func (b *captureBench) text(rounds []captureRound) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s messages of %s bytes from %d publishers\n\n", count(b.messages.n), count(b.size.n), b.publishers.n)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ROUND\tSUBSCRIBER\tLOST\tCAPTURE\tLOST\tGAPS\tCAPTURE/SUBSCRIBER")
	for i := range rounds {
		r := &rounds[i]
		fmt.Fprintf(table, "%d\t%s/s\t%s\t%s/s\t%s\t%d\t%.2f\n", i+1, count(int64(r.subscriber.perSecond)), count(r.subscriber.lost),
			count(int64(r.capture.perSecond)), count(r.capture.lost), r.capture.gaps, r.ratio())
	}
	// A strings.Builder takes all that is written to it.
	_ = table.Flush()
	return text.String()
}

func (b *captureBench) json(rounds []captureRound) []byte {
	o := jsonObject{dst: []byte{'{'}}
	o.number("messages", b.messages.n)
	o.number("size", b.size.n)
	o.number("publishers", b.publishers.n)
	o.name("rounds")
	o.dst = append(o.dst, '[')
	for i := range rounds {
		r := &rounds[i]
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		p := jsonObject{dst: append(o.dst, '{')}
		p.number("subscriber_per_second", int64(r.subscriber.perSecond))
		p.number("subscriber_lost", r.subscriber.lost)
		p.number("capture_per_second", int64(r.capture.perSecond))
		p.number("capture_lost", r.capture.lost)
		p.number("capture_gaps", int64(r.capture.gaps))
		p.name("ratio")
		o.dst = append(strconv.AppendFloat(p.dst, r.ratio(), 'f', 3, 64), '}')
	}
	return append(o.dst, "]}\n"...)
}

// run measures round after round, on a stream that it makes and deletes.
func (b *captureBench) run(ctx context.Context) (rounds []captureRound, err error) {
	if b.natsURL == "" {
		info, err := b.client.Server(ctx)
		if err != nil {
			return nil, err
		}
		b.natsURL = info.NATSURL
	}
	name := fmt.Sprintf("bench-%d", os.Getpid())
	subject := name + ".captured"
	stream, err := b.client.CreateStream(ctx, client.StreamConfig{Name: name, Subjects: []string{subject}})
	if err != nil {
		return nil, err
	}
	defer func() {
		// Also when it was interrupted.
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		defer cancel()
		if deleted := stream.Delete(cleaning); err == nil {
			err = deleted
		}
	}()
	for range b.rounds.n {
		var r captureRound
		if r.subscriber, err = b.subscriber(ctx, name+".heard"); err != nil {
			return nil, err
		}
		if r.capture, err = b.captured(ctx, stream, subject); err != nil {
			return nil, err
		}
		rounds = append(rounds, r)
	}
	return rounds, nil
}
