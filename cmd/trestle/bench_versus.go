package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// Rivals of bench vs.
const (
	rivalCore       = "core"
	rivalJetStream  = "jetstream"
	rivalLiftbridge = "liftbridge"
)

// Contests of bench vs, in the order in which they are held.
const (
	contestCapture = "capture"
	contestPublish = "publish"
	contestRead    = "read"
	contestSingle  = "single"
	contestLatency = "latency"
)

func rivals() map[string][]string {
	return map[string][]string{
		rivalCore:       {contestCapture, contestLatency},
		rivalJetStream:  {contestCapture, contestPublish, contestRead, contestSingle, contestLatency},
		rivalLiftbridge: {contestCapture, contestPublish, contestRead, contestSingle, contestLatency},
	}
}

// versus is what bench vs is told.
type versus struct {
	rival   string
	program string // of Liftbridge
	only    onlyFlag
	load    *benchLoad
	server  benchServer
}

// onlyFlag collects words: --only publish,read.
type onlyFlag []string

func (f *onlyFlag) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		if known := rivals()[rivalJetStream]; !slices.Contains(known, word) {
			return &misuse{message: "no such choice", remedy: "write some of " + strings.Join(known, ",")}
		}
		*f = append(*f, word)
	}
	return nil
}

func (f *onlyFlag) String() string { return strings.Join(*f, ",") }
func (f *onlyFlag) Type() string   { return "WORD,..." }

func newBenchVersusCommand(inv *invocation) *cobra.Command {
	v := versus{load: newBenchLoad()}
	v.load.rounds.n, v.load.time, v.load.rate.n = 5, durationFlag(latencyTime), latencyRate
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "vs core|jetstream|liftbridge [flags]",
		Short: "Compare Trestle with core NATS, JetStream or Liftbridge, side by side",
		Long: `Put Trestle and one of the others under the same load, round after round, in turns, and print how
they compare: the median of the ratios of all rounds, and how far they lie apart. Each server is a
process of its own with a data folder of its own, all on this machine.

  capture   a burst of plain NATS messages: a core subscriber counts it, the others store it
  publish   acked, as many in flight on all sides; Trestle's acks are durable (sync ack)
  read      from the start: the Go client here, an ordered consumer there
  single    one publish at a time: through the Go client, and over NATS with an ack inbox
  latency   from publish to handler, at a fixed rate

A rate is that until all messages are received, acked or written; a committed rate that until all
are committed, which means fsynced with sync ack.

JetStream is measured as it comes (one replica, files, fsynced every 2 minutes) and where it matters
with sync always (fsynced before each ack). Latency is measured for --time, one publish at a time
for two fifths of it, and whoever is slow at acks stops publishing after it.

Liftbridge, which never fsyncs, is not built in: --program names its server.`,
		Example: `  trestle bench vs core
  trestle bench vs jetstream --only publish,single --rounds 7
  trestle bench vs jetstream --quick -o json`,
		Args:      v.argument,
		ValidArgs: []string{rivalCore, rivalJetStream, rivalLiftbridge},
	}
	v.server.addTo(inv, cmd, false)
	v.load.addTo(cmd, "messages", "size", "publishers", "in-flight", "rate", "time", "fanout", "listeners", "rounds", "quick")
	cmd.Flags().Lookup("time").Usage = "measure latency for `D`, and end a round of publishing after it"
	cmd.Flags().Lookup("rate").Usage = "publish `N` messages a second, to measure latency"
	cmd.Flags().StringVar(&v.program, "program", "", "start `FILE` as the Liftbridge server to compare with")
	cmd.Flags().Var(&v.only, "only", "hold these contests only: `WORD,...` of capture, publish, read, single, latency")
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return v.server.use(inv, cmd, func(ctx context.Context, o *bench) error { return v.hold(ctx, inv, o, out.is(formatJSON)) })
	}
	return cmd
}

// argument takes the rival, and finds out whether it can be compared in what --only asks for.
func (v *versus) argument(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || rivals()[args[0]] == nil {
		return argumentMisuse(cmd, "compare with what? Say %s, %s or %s", rivalCore, rivalJetStream, rivalLiftbridge)
	}
	v.rival = args[0]
	if (v.rival == rivalLiftbridge) != (v.program != "") {
		return argumentMisuse(cmd, "--program FILE and liftbridge belong together: the file is its server")
	}
	if v.load.listeners.n > 0 && (v.rival != rivalJetStream || !v.load.fanout || len(v.only) > 0 && !slices.Contains(v.only, contestPublish)) {
		return argumentMisuse(cmd, "--listeners are for the contest publish with jetstream, and need --fanout")
	}
	for _, word := range v.only {
		if !slices.Contains(rivals()[v.rival], word) {
			return argumentMisuse(cmd, "--only %s: %s has no such thing; it has %s", word, v.rival, strings.Join(rivals()[v.rival], ", "))
		}
	}
	return nil
}

// hold holds the contests and prints each verdict when it is there.
func (v *versus) hold(ctx context.Context, inv *invocation, o *bench, asJSON bool) (err error) {
	o.trestle.Fanout = v.load.fanout
	r, err := o.startRivals(ctx, v)
	if err != nil {
		return err
	}
	defer r.close()
	if !asJSON {
		if err := inv.print(v.heading(o, r)); err != nil {
			return err
		}
	}
	for _, contest := range v.contests(o, r) {
		verdict, err := contest.Hold(ctx, v.load.times())
		if err != nil {
			return err
		}
		text := verdictText(verdict)
		if asJSON {
			text = verdictJSON(v.rival, verdict)
		}
		if err := inv.print(text); err != nil {
			return err
		}
	}
	return nil
}

// contests are those that are asked for.
func (v *versus) contests(o *bench, r *opponents) []loadtest.Contest {
	load := v.load.load()
	length := load.Time
	load.Rate = 0
	single, latency := load, load
	single.Listeners = 0
	single.Messages, single.Publishers, single.InFlight, single.Time = 0, 1, 1, length*2/5
	latency.Rate, latency.Time = v.load.rate.n, 0
	latency.Messages = max(1, int64(float64(latency.Rate)*length.Seconds()))
	var all []loadtest.Contest
	switch v.rival {
	case rivalCore:
		all = v.againstCore(o, r, load, latency)
	case rivalJetStream:
		all = v.againstJetStream(o, r, load, single, latency)
	default:
		all = v.againstLiftbridge(o, r, load, single, latency)
	}
	return slices.DeleteFunc(all, func(c loadtest.Contest) bool {
		return len(v.only) > 0 && !slices.Contains(v.only, c.Name)
	})
}
