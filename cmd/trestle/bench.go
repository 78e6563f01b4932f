package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

func newBenchCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a server, beside what it is to be compared with",
		Long: `Measure a server, beside what it is to be compared with, in the same minute. Publishers and
subscribers are processes of their own. Unless told which server to measure, a bench starts one,
with ports and a folder of its own, and removes both.`,
		Example: `  trestle bench capture
  trestle bench all --rounds 5
  trestle bench vs jetstream`,
		Args: commandOnly,
		RunE: commandLacking,
	}
	for _, kind := range benchKinds() {
		cmd.AddCommand(newBenchKindCommand(inv, &kind))
	}
	cmd.AddCommand(newBenchAllCommand(inv), newBenchVersusCommand(inv), newBenchWorkerCommand(inv))
	return cmd
}

// benchLoad is what the flags of a bench say of the load.
type benchLoad struct {
	messages, size, publishers, rounds, inFlight, rate countFlag
	time                                               durationFlag
	sync                                               choiceFlag
	fanout                                             bool
	listeners                                          countFlag
	quick                                              bool
}

// Defaults of the load. latencyRate is that of bench latency; others publish as fast as it goes.
const (
	benchMessages = 1_000_000
	benchSize     = 128
	benchInFlight = 1024
	latencyRate   = 50_000
	benchTime     = 10 * time.Second
	latencyTime   = 5 * time.Second
)

func newBenchLoad() *benchLoad {
	return &benchLoad{
		messages: countFlag{n: benchMessages, least: 1}, size: countFlag{n: benchSize, least: 8}, publishers: countFlag{n: 1, least: 1},
		rounds: countFlag{n: 3, least: 1}, inFlight: countFlag{n: benchInFlight, least: 1}, rate: countFlag{least: 1},
		sync: choiceFlag{word: string(client.SyncAck), words: []string{"ack", "interval", "none"}},
	}
}

// addTo adds those flags of the load whose names are given.
func (l *benchLoad) addTo(cmd *cobra.Command, names ...string) {
	flags := cmd.Flags()
	flags.SortFlags = false
	for _, name := range names {
		switch name {
		case "messages":
			flags.Var(&l.messages, name, "publish `N` messages a round, all publishers together")
		case "size":
			flags.Var(&l.size, name, "of `N` bytes each")
		case "publishers":
			flags.Var(&l.publishers, name, "from `N` processes")
		case "rounds":
			flags.Var(&l.rounds, name, "measure `N` times, after one round to warm up")
		case "in-flight":
			flags.Var(&l.inFlight, name, "with `N` messages of a publisher unacked at most; 1: one at a time")
		case "rate":
			usage := "publish `N` messages a second, due at fixed times"
			if l.rate.n == 0 {
				usage += " (default: as fast as it goes)"
			}
			flags.Var(&l.rate, name, usage)
		case "time":
			flags.Var(&l.time, name, "end a round of publishing after `D`")
		case "quick":
			flags.BoolVar(&l.quick, name, false, "a tenth of the messages, a fifth of the time, 3 rounds at most: for a first look")
		case "sync":
			flags.Var(&l.sync, name, "make messages durable: ack (before any ack), interval, none")
		case "fanout":
			flags.BoolVar(&l.fanout, name, false, "have the server pass on to NATS what it stores")
		case "listeners":
			flags.Var(&l.listeners, name, "have `N` processes listen on NATS to what is published, which needs --fanout; rates are of acks, HEARD is what listeners got")
		}
	}
}

func (l *benchLoad) load() loadtest.Load {
	load := loadtest.Load{
		Messages: l.messages.n, Size: int(l.size.n), Publishers: int(l.publishers.n), InFlight: int(l.inFlight.n),
		Listeners: int(l.listeners.n), Rate: l.rate.n, Time: time.Duration(l.time),
	}
	if l.quick {
		load.Messages, load.Time = max(1, load.Messages/10), load.Time/5
	}
	return load
}

// times is how many rounds are measured.
func (l *benchLoad) times() int {
	if l.quick {
		return int(min(l.rounds.n, 3))
	}
	return int(l.rounds.n)
}

// benchKind is one of the loads that a server can be measured with.
type benchKind struct {
	word, short, long, example string
	flags                      []string
	// change sets the defaults that are not those of all.
	change func(*benchLoad)
	// sides are what is measured; the last is the server.
	sides func(*bench, *benchLoad) []loadtest.Side
}

// newBenchKindCommand is bench capture, publish, read or latency.
func newBenchKindCommand(inv *invocation, kind *benchKind) *cobra.Command {
	l, server, out := newBenchLoad(), &benchServer{}, newOutputFlag(formatText, formatJSON)
	kind.change(l)
	cmd := &cobra.Command{Use: kind.word + " [flags]", Short: kind.short, Long: kind.long, Example: kind.example, Args: noArguments}
	server.addTo(inv, cmd, true)
	l.addTo(cmd, kind.flags...)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if l.listeners.n > 0 && !l.fanout {
			return argumentMisuse(cmd, "--listeners hear nothing without --fanout; add it")
		}
		return server.use(inv, cmd, func(ctx context.Context, o *bench) error {
			return o.measure(ctx, inv, kind, l, out.is(formatJSON))
		})
	}
	return cmd
}

// newBenchAllCommand is bench all.
func newBenchAllCommand(inv *invocation) *cobra.Command {
	server, out := &benchServer{}, newOutputFlag(formatText, formatJSON)
	l := newBenchLoad()
	cmd := &cobra.Command{
		Use: "all [flags]", Short: "Measure capture, publish, read and latency, one after the other", Args: noArguments,
		Long: `Measure capture, publish, read and latency, one after the other, on the same server. What is
not asked for is as each of them has it alone.`,
		Example: `  trestle bench all
  trestle bench all --rounds 5 --size 1024 -o json`,
	}
	server.addTo(inv, cmd, true)
	l.addTo(cmd, "messages", "size", "publishers", "in-flight", "time", "rounds", "sync", "quick")
	cmd.Flags().Lookup("messages").Usage += "; for latency, as many as --time allows"
	cmd.Flags().Lookup("time").Usage += " (default 10s for publish, 5s for latency)"
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return server.use(inv, cmd, func(ctx context.Context, o *bench) error {
			for i, kind := range benchKinds() {
				own := newBenchLoad()
				if kind.change(own); l.time > 0 && own.time > 0 {
					own.time = l.time
				}
				own.messages, own.size, own.publishers, own.inFlight, own.rounds, own.sync, own.quick = l.messages, l.size, l.publishers, l.inFlight, l.rounds, l.sync, l.quick
				if i > 0 && !out.is(formatJSON) {
					if err := inv.print("\n"); err != nil {
						return err
					}
				}
				if err := o.measure(ctx, inv, &kind, own, out.is(formatJSON)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// use opens a server, and closes it when f is done.
func (b *benchServer) use(inv *invocation, cmd *cobra.Command, f func(context.Context, *bench) error) (err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal is not for us: it ends a bench that hangs.
	defer context.AfterFunc(ctx, stop)()
	opened, err := b.open(ctx, inv, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	if err = f(ctx, opened); err != nil && ctx.Err() != nil {
		// What failed did so because everything was told to end.
		return fmt.Errorf("the bench was ended: %w", context.Cause(ctx))
	}
	return err
}

// measure measures a server with one kind of load and prints what came of it.
func (o *bench) measure(ctx context.Context, inv *invocation, kind *benchKind, l *benchLoad, asJSON bool) error {
	load := l.load()
	if kind.word == "latency" {
		// Every round is as long as it was told to be.
		load.Messages, load.Time = int64(float64(load.Rate)*load.Time.Seconds()), 0
	}
	o.trestle.Fanout = l.fanout
	rounds, err := loadtest.Alternate(ctx, &load, l.times(), kind.sides(o, l))
	if err != nil {
		return err
	}
	r := benchReport{kind: kind.word, server: o.told, load: load, sync: l.sync.word, fanout: l.fanout, rounds: rounds}
	if asJSON {
		return inv.print(r.json())
	}
	return inv.print(r.text())
}
