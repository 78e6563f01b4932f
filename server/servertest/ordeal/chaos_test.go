package ordeal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

var (
	rounds = flag.Int("rounds", 5, "how often the server is killed")
	seed   = flag.Uint64("seed", 0, "what is random follows from it; 0: another one each time")
)

const (
	// A life under load lasts from shortest to longest.
	shortest, longest = 300 * time.Millisecond, 1500 * time.Millisecond
	// dedupWindow is longer than any pause of a busy machine: a publisher may send again what it sent some rounds ago.
	dedupWindow = time.Hour
	// roundLimit bounds whatever is done in one round.
	roundLimit = 2 * time.Minute
	// readyLimit is how long a start may take, or whatever else one waits for: on a busy machine, too.
	readyLimit = time.Minute
)

// chaos is a server that is killed again and again, with what publishers and readers know of it.
type chaos struct {
	t         *testing.T
	program   string
	dataDir   string
	flags     []string // of the ports
	random    *rand.Rand
	loads     []*load
	audits    map[string]*audit // by stream
	worst     time.Duration     // of all starts
	interrupt int               // starts that were killed
	former    string            // the log of the life before
	created   []string          // streams of which it was said that they are made
}

// load is a publisher and what it knows.
type load struct {
	*ledger
	publish publisher
	random  *rand.Rand
}

// TestChaos kills the server with kill -9 under load, at random moments, and starts it again: each time everything that
// was acknowledged is where the ack said, once, and in its publisher's order (S1, S11).
func TestChaos(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	k := newChaos(t)
	for round := 1; round <= *rounds; round++ {
		k.round(round)
	}
	s := k.start(t.Context())
	acked, stored := k.check(t.Context(), s)
	if err := s.Terminate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if acked == 0 {
		t.Fatal("nothing was acknowledged: this says nothing")
	}
	t.Logf("summary: %d rounds, %d starts interrupted, %d acknowledged, %d stored, none lost, none twice, worst time to ready %v",
		*rounds, k.interrupt, acked, stored, k.worst.Round(time.Millisecond))
}

func newChaos(t *testing.T) *chaos {
	dataDir, err := os.MkdirTemp("", "trestle-chaos-") //nolint:usetesting // kept when the test fails
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data folder is kept: %s", dataDir)
		} else if err := os.RemoveAll(dataDir); err != nil {
			t.Error(err)
		}
	})
	k := &chaos{
		t: t, program: built.Path(t), dataDir: dataDir, flags: keptPorts(t), random: rand.New(rand.NewPCG(*seed, 0)), audits: map[string]*audit{},
	}
	// One stream has segments of the usual size; the other one begins a new one many times in a life.
	for _, stream := range []string{"steady", "rolling"} {
		ledgers := []*ledger{}
		for _, p := range []struct {
			name    string
			ids     bool
			publish publisher
		}{
			{"grpc-a", true, overGRPC},
			{"grpc-b", true, overGRPC},
			{"plain", false, plain},
			{"ids", true, withID},
			{"enveloped", true, enveloped},
		} {
			l := newLedger(p.name, stream, p.ids)
			ledgers = append(ledgers, l)
			k.loads = append(k.loads, &load{ledger: l, publish: p.publish, random: rand.New(rand.NewPCG(*seed, uint64(len(k.loads))))})
		}
		k.audits[stream] = newAudit(ledgers...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
	defer cancel()
	s := k.start(ctx)
	c := k.connect(ctx, s)
	for stream, segment := range map[string]int64{"steady": 0, "rolling": 256 << 10} {
		config := client.StreamConfig{Name: stream, Subjects: []string{stream + ".*"}, SegmentBytes: segment, DedupWindow: dedupWindow}
		if _, err := c.CreateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Close(), s.Terminate(ctx)); err != nil {
		t.Fatal(err)
	}
	return k
}

// round starts the server, checks what is stored, loads it, and kills it.
func (k *chaos) round(round int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), roundLimit)
	defer cancel()
	if k.random.IntN(6) == 0 { // a kill while it starts
		p, err := servertest.StartServer(k.program, k.dataDir, k.flags...)
		if err != nil {
			k.t.Fatal(err)
		}
		k.wait(ctx, time.Duration(k.random.Int64N(int64(150*time.Millisecond))))
		p.Kill()
		k.interrupt++
	}
	s := k.start(ctx)
	acked, stored := k.check(ctx, s)
	c := k.connect(ctx, s)
	created := fmt.Sprintf("round-%d", round)
	if _, err := c.CreateStream(ctx, client.StreamConfig{Name: created, Subjects: []string{created}}); err != nil {
		k.t.Fatal(err)
	}
	k.created = append(k.created, created)
	life := shortest + time.Duration(k.random.Int64N(int64(longest-shortest)))
	k.load(ctx, s, life)
	if err := c.Close(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Logf("round %d: ready after %v, %d acknowledged and %d stored so far, killed after %v of load",
		round, s.StartTime.Round(time.Millisecond), acked, stored, life.Round(time.Millisecond))
}

// load lets all publishers and two readers go for it, and kills the server in the midst of that.
func (k *chaos) load(ctx context.Context, s *servertest.Server, life time.Duration) {
	k.t.Helper()
	ctx, end := context.WithCancel(ctx)
	defer end()
	var busy sync.WaitGroup
	faults := make(chan error, len(k.loads)+len(k.audits))
	for _, l := range k.loads {
		l.begin()
		busy.Go(func() {
			if err := l.publish(ctx, s, l.ledger, l.random); err != nil {
				faults <- fmt.Errorf("publisher %s of stream %s: %w", l.name, l.stream, err)
			}
		})
	}
	shown := map[string]*[]client.Message{}
	for stream, a := range k.audits {
		messages := &[]client.Message{}
		shown[stream] = messages
		busy.Go(func() { *messages = k.follow(ctx, s, stream, int64(len(a.read))) })
	}
	k.wait(ctx, life)
	s.Kill()
	k.former = s.Log()
	end()
	busy.Wait()
	for stream, messages := range shown {
		if err := k.audits[stream].seen(*messages); err != nil {
			k.t.Fatalf("stream %s: %v", stream, err)
		}
	}
	select {
	case err := <-faults:
		k.t.Fatalf("%v\nthe server's log ends:\n%s", err, s.Log())
	default:
	}
}

// follow reads a stream from an offset on until the server is gone, and returns what it was shown.
func (k *chaos) follow(ctx context.Context, s *servertest.Server, stream string, offset int64) (shown []client.Message) {
	c, err := client.Connect(ctx, s.GRPC)
	if err != nil {
		return nil
	}
	defer c.Close()
	// How it ends is known: the server is killed.
	_ = c.Stream(stream).Handle(ctx, func(_ context.Context, m *client.Message) error {
		shown = append(shown, *m.Clone())
		return nil
	}, client.FromOffset(offset))
	return shown
}

func (k *chaos) start(ctx context.Context) *servertest.Server {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	s, err := servertest.Launch(ctx, k.program, k.dataDir, k.flags...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(s.Kill)
	k.worst = max(k.worst, s.StartTime)
	return s
}

func (k *chaos) connect(ctx context.Context, s *servertest.Server) *client.Client {
	k.t.Helper()
	c, err := client.Connect(ctx, s.GRPC)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// check reads everything and holds it against what is known.
func (k *chaos) check(ctx context.Context, s *servertest.Server) (acked, stored int) {
	k.t.Helper()
	c := k.connect(ctx, s)
	defer c.Close()
	for stream, a := range k.audits {
		messages, err := readAll(ctx, c.Stream(stream))
		if err == nil {
			err = a.hold(messages)
		}
		if err != nil {
			k.t.Fatalf("stream %s: %v\nseed %d; the server's log ends:\n%s\nand that of the life before:\n%s", stream, err, *seed, s.Log(), k.former)
		}
		stored += len(messages)
		k.checkGap(ctx, c.Stream(stream))
	}
	for _, name := range k.created {
		if _, err := c.Stream(name).Info(ctx); err != nil {
			k.t.Fatalf("a stream that was made: %v", err)
		}
	}
	for _, l := range k.loads {
		_, n := l.counts()
		acked += n
	}
	return acked, stored
}

// checkGap wants a stream to say of a life that was killed that messages may be missing (protocol.md 2.9).
func (k *chaos) checkGap(ctx context.Context, s *client.Stream) {
	k.t.Helper()
	if len(k.created) == 0 { // the only life before ended in order
		return
	}
	info, err := s.Info(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	if gap := info.Partitions[0].LastGap; gap == nil || gap.Cause != client.GapRestart {
		k.t.Fatalf("stream %s after a kill: the last gap is %+v, want one of cause %s", s.Name(), gap, client.GapRestart)
	}
}

// readAll reads a stream's partition 0 from its first message to its last.
func readAll(ctx context.Context, s *client.Stream) (all []client.Message, err error) {
	err = s.Handle(ctx, func(_ context.Context, m *client.Message) error {
		all = append(all, *m.Clone())
		return nil
	}, client.FromEarliest(), client.UntilLatest())
	if err != nil {
		return nil, fmt.Errorf("after %d messages: %w", len(all), err)
	}
	return all, nil
}

func (k *chaos) wait(ctx context.Context, d time.Duration) {
	k.t.Helper()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		k.t.Fatal(ctx.Err())
	}
}
