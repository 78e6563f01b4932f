package ordeal

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

var outageTime = flag.Duration("outage", 500*time.Millisecond, "how long NATS, the network or the server is away")

const (
	// nearby is how much longer than an outage its gap may be, at each end: a broker asks twice a second whether it has heard all,
	// a message may have been under way for half a second then, and whoever comes back tries four times a second. The rest is for
	// a machine that has no time for any of them.
	nearby = 6 * time.Second
	// patience is after how long without a word from NATS a broker has given up the connection (capture/DESIGN.md §4).
	patience = 9 * time.Second
	// sideTime is how long messages come before an outage and after it, at least.
	sideTime = 200 * time.Millisecond
)

// outage is from some time between begin and gone to some time between end and back.
type outage struct{ begin, gone, end, back time.Time }

// scene is a server whose messages are about to be missed.
type scene struct {
	*broker
	dataDir    string
	flags      []string // of the server
	link       *link    // to its NATS
	nats       *servertest.Process
	natsConfig string // a file
	natsURL    string // that publishers use
}

// TestOutages takes away NATS, the network in between, or the server: whatever was published meanwhile is stored or within a
// gap, the gaps are about as long as the outage, and what came before and comes after is recorded (protocol.md 2.8, 2.9, S13).
func TestOutages(t *testing.T) {
	program := built.Path(t)
	stall, reset := networkOutage((*link).freeze, (*link).thaw), networkOutage((*link).sever, (*link).mend)
	stop, kill := serverOutage(func(ctx context.Context, s *servertest.Server) error { return s.Terminate(ctx) }),
		serverOutage(func(_ context.Context, s *servertest.Server) error { s.Kill(); return nil })
	for _, c := range []struct {
		name     string
		embedded bool
		away     func(context.Context, *scene) outage
		whole    bool // nothing need be missed: there may be no gap, or a shorter one
	}{
		{"NATS restarted", false, natsOutage, false},
		{"network stalled", false, stall, *outageTime < patience},
		{"network reset", false, reset, false},
		{"server stopped", false, stop, false},
		{"server killed", false, kill, false},
		{"server stopped with its own NATS", true, stop, true},
		{"server killed with its own NATS", true, kill, false},
		{"server frozen in a flood", false, frozenOutage, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), *outageTime+roundLimit)
			defer cancel()
			s := newScene(ctx, t, program, c.embedded)
			stream, err := s.client.CreateStream(ctx, client.StreamConfig{Name: "steady", Subjects: []string{"steady"}})
			if err != nil {
				t.Fatal(err)
			}
			p := startSteady(t, s.natsURL, "steady")
			s.awaitStored(ctx, stream, p, time.Now().Add(sideTime))
			away := c.away(ctx, s)
			s.awaitStored(ctx, stream, p, away.back.Add(sideTime))
			s.check(ctx, stream, p.stop(), &away, c.whole)
		})
	}
}

// check holds what is recorded against what was published, now or soon: gaps are written a moment after a broker is back.
func (s *scene) check(ctx context.Context, stream *client.Stream, published map[uint64]time.Time, away *outage, whole bool) {
	s.t.Helper()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for soon := time.Now().Add(readyLimit); ; <-ticks.C {
		records, err := recordsOf(ctx, stream)
		if err != nil {
			s.t.Fatal(err)
		}
		missing, err := records.hold(published, away, whole)
		if err != nil && time.Now().Before(soon) {
			continue
		}
		s.t.Logf("away for %v: %d published and confirmed, %d of them missing; %v",
			away.back.Sub(away.begin).Round(time.Millisecond), len(published), missing, records.gaps)
		if err != nil {
			s.t.Errorf("%v\nthe server's log ends:\n%s", err, s.server.Log())
		}
		return
	}
}

func newScene(ctx context.Context, t *testing.T, program string, embedded bool) *scene {
	t.Helper()
	s := &scene{dataDir: t.TempDir(), flags: keptPorts(t)}
	if !embedded {
		s.natsConfig = filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(s.natsConfig, fmt.Appendf(nil, "listen: %q\n", servertest.FreeAddress(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.startNATS(ctx, t)
		s.link = newLink(t, s.natsURL)
		s.flags = append(s.flags[:len(s.flags)-2], "--nats", s.link.url)
	}
	s.broker = launch(t, program, s.dataDir, s.flags...)
	if embedded {
		s.natsURL = s.server.NATS
	}
	return s
}

func (s *scene) startNATS(ctx context.Context, t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	s.nats = startRole(t, "nats", s.natsConfig)
	url, err := s.nats.FirstLine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.natsURL = url
}

func (s *scene) wait(ctx context.Context) {
	s.t.Helper()
	select {
	case <-time.After(*outageTime):
	case <-ctx.Done():
		s.t.Fatal(ctx.Err())
	}
}

func natsOutage(ctx context.Context, s *scene) outage {
	s.t.Helper()
	o := outage{begin: time.Now()}
	if err := s.nats.Terminate(ctx); err != nil {
		s.t.Fatal(err)
	}
	o.gone = time.Now()
	s.wait(ctx)
	o.end = time.Now()
	s.startNATS(ctx, s.t)
	o.back = time.Now()
	return o
}

func networkOutage(cut, mend func(*link)) func(context.Context, *scene) outage {
	return func(ctx context.Context, s *scene) outage {
		s.t.Helper()
		o := outage{begin: time.Now()}
		cut(s.link)
		o.gone = time.Now()
		s.wait(ctx)
		o.end = time.Now()
		mend(s.link)
		o.back = time.Now()
		return o
	}
}

func serverOutage(end func(context.Context, *servertest.Server) error) func(context.Context, *scene) outage {
	return func(ctx context.Context, s *scene) outage {
		s.t.Helper()
		o := outage{begin: time.Now()}
		if err := end(ctx, s.server); err != nil {
			s.t.Fatal(err)
		}
		o.gone = time.Now()
		s.wait(ctx)
		o.end = time.Now()
		s.start(ctx, s.dataDir, s.flags...)
		o.back = time.Now()
		return o
	}
}

const (
	floodBytes = 32 << 10
	// floodCount is more than a NATS server keeps for somebody who does not read, 64 MiB, and the sockets do.
	floodCount = 3000
)

// frozenOutage does not let the server run while more is published than NATS keeps for it: it is cut off, and nobody knows how
// many messages with it.
func frozenOutage(ctx context.Context, s *scene) outage {
	s.t.Helper()
	if _, err := s.client.CreateStream(ctx, client.StreamConfig{Name: "flood", Subjects: []string{"flood.*"}}); err != nil {
		s.t.Fatal(err)
	}
	o := outage{begin: time.Now()}
	if err := s.server.Freeze(); err != nil {
		s.t.Fatal(err)
	}
	o.gone = time.Now()
	floodAll(ctx, s.t, 1, flood{url: s.natsURL, subject: "flood", count: floodCount, size: floodBytes})
	s.wait(ctx)
	o.end = time.Now()
	if err := s.server.Thaw(); err != nil {
		s.t.Fatal(err)
	}
	o.back = time.Now()
	return o
}
