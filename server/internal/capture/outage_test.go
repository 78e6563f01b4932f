package capture_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// wantWindow checks a gap of unknown count over at least [from, to], and not much more.
func wantWindow(t *testing.T, gap batch.Gap, from, to time.Time) {
	t.Helper()
	if gap.FromTime > from.UnixNano() || gap.ToTime < to.UnixNano() {
		t.Errorf("the gap goes from %v to %v, messages are missing from %v to %v", time.Unix(0, gap.FromTime), time.Unix(0, gap.ToTime), from, to)
	}
	if gap.FromTime < from.Add(-patience).UnixNano() || gap.ToTime > time.Now().UnixNano() || gap.Counted {
		t.Errorf("gap %+v claims too much", gap)
	}
}

// While NATS is away messages are missing: a gap says from when to when, and capture resumes (2.8, 2.9, S13).
func TestNATSRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sink := newMemory()
	sub := w.subscribe(target("s", "orders"), sink)
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("before")})
	sink.awaitRecords(t, 1)
	away := time.Now()
	stopNATS(w.server)
	w.startNATS()
	other := w.connect(w.server.ClientURL())
	back := time.Now()
	wantWindow(t, sink.awaitGap(t, batch.GapNATSDisconnected), away, back)
	if err := other.Publish("orders", []byte("after")); err != nil {
		t.Fatal(err)
	}
	if got := sink.awaitRecords(t, 2); got[1].value != "after" {
		t.Errorf("captured %+v", got)
	}
	w.drain(sub)
	if len(sink.gaps) != 1 {
		t.Errorf("gaps %+v", sink.gaps)
	}
}

// awaitDisconnect waits until the source has noticed that NATS is gone.
func (w *world) awaitDisconnect() {
	w.t.Helper()
	for deadline := time.Now().Add(patience); w.Counters().Disconnects == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			w.t.Fatal("the source has not noticed")
		}
	}
}

// A capture that ends while NATS is away leaves a gap up to then.
func TestDrainWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sink := newMemory()
	sub := w.subscribe(target("s", "orders"), sink)
	stopNATS(w.server)
	w.awaitDisconnect()
	w.drain(sub)
	if len(sink.gaps) != 1 || sink.gaps[0].Cause != batch.GapNATSDisconnected {
		t.Errorf("gaps %+v", sink.gaps)
	}
}

// proxy passes on what goes between a client and NATS, until it is cut, or hangs.
type proxy struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns []net.Conn
	hung  chan struct{} // nil: nothing hangs; closed: let go
	held  []byte        // all that ever waited
	tasks sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to}
	p.tasks.Go(p.accept)
	t.Cleanup(func() { _ = l.Close(); p.hang(nil); p.cut(); p.tasks.Wait() })
	return p
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.tasks.Go(func() { p.pass(out, in) })
		p.tasks.Go(func() { p.pass(in, out) })
	}
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		hung := p.hung
		if hung != nil {
			p.held = append(p.held, buf[:n]...)
		}
		p.mu.Unlock()
		if hung != nil {
			<-hung
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// holds says whether it has read that while nothing was passed on.
func (p *proxy) holds(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.held, []byte(text))
}

// hang makes what is passed on wait for the channel; nil lets go.
func (p *proxy) hang(until chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until == nil && p.hung != nil {
		close(p.hung)
	}
	p.hung = until
}

// A connection that is cut loses what was on its way: the gap begins with the last byte received, and published is what is
// stored plus what may be in gaps (S13).
func TestConnectionIsCut(t *testing.T) {
	t.Parallel()
	var p *proxy
	w := newWorld(t, func(c *capture.Config) {
		p = newProxy(t, c.URLs[len("nats://"):])
		c.URLs = "nats://" + p.listener.Addr().String()
	})
	sink := newMemory()
	w.subscribe(target("s", "orders"), sink)
	published := map[string]time.Time{}
	var stop sync.WaitGroup
	quit := make(chan struct{})
	stop.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-time.After(50 * time.Microsecond):
			}
			name := fmt.Sprint(i)
			published[name] = time.Now()
			if err := w.client.Publish("orders", []byte(name)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	const cuts = 3
	for i := 1; i <= cuts; i++ {
		sink.await(t, "records", func() bool { return len(sink.records) > 500*i })
		p.cut()
		sink.await(t, "gap", func() bool { return len(sink.gaps) == i })
	}
	n := len(sink.records)
	sink.await(t, "more records", func() bool { return len(sink.records) > n+100 })
	close(quit)
	stop.Wait()
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("last")})
	sink.await(t, "the last record", func() bool { return sink.records[len(sink.records)-1].value == "last" })
	for _, r := range sink.records {
		delete(published, r.value)
	}
	for name, at := range published {
		covered := false
		for _, gap := range sink.gaps {
			covered = covered || gap.FromTime <= at.UnixNano() && at.UnixNano() <= gap.ToTime
		}
		if !covered {
			t.Errorf("message %s, published at %v, is missing without a gap; gaps %+v", name, at, sink.gaps)
		}
	}
	if len(published) == 0 {
		t.Log("the cuts lost nothing this time")
	}
}

// A NATS that goes silent without a word is found, and the connection made anew.
func TestNATSHangs(t *testing.T) {
	t.Parallel()
	var p *proxy
	w := newWorld(t, func(c *capture.Config) {
		p = newProxy(t, c.URLs[len("nats://"):])
		c.URLs, c.DropsReaders = "nats://"+p.listener.Addr().String(), true
	})
	sink := newMemory()
	w.subscribe(target("s", "orders"), sink)
	w.publish(&nats.Msg{Subject: "orders"})
	sink.awaitRecords(t, 1)
	away := time.Now()
	p.hang(make(chan struct{}))
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("lost")})
	w.awaitDisconnect()
	p.hang(nil)
	wantWindow(t, sink.awaitGap(t, batch.GapNATSDisconnected), away, time.Now().Add(-time.Second))
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("after")})
	sink.await(t, "record", func() bool { return sink.records[len(sink.records)-1].value == "after" })
}

// blocking is a sink that takes nothing until it is let go.
type blocking struct {
	*memory
	until chan struct{}
}

func (b *blocking) CaptureWith(r *batch.Record, c partition.Captured) error {
	<-b.until
	return b.memory.CaptureWith(r, c)
}

// What NATS kept for us while we did not read it goes with the connection: the gap begins when we stopped reading.
func TestConnectionIsCutWhileNotRead(t *testing.T) {
	t.Parallel()
	var p *proxy
	w := newWorld(t, func(c *capture.Config) {
		p = newProxy(t, c.URLs[len("nats://"):])
		c.URLs = "nats://" + p.listener.Addr().String()
	})
	sink := &blocking{memory: newMemory(), until: make(chan struct{})}
	w.subscribe(target("s", "orders"), sink)
	for w.Counters().PendingBytes < 32<<20 {
		w.publish(&nats.Msg{Subject: "orders", Data: make([]byte, 1<<18)})
	}
	kept := time.Now()
	for range 40 {
		w.publish(&nats.Msg{Subject: "orders", Data: make([]byte, 1<<18)})
	}
	p.cut()
	close(sink.until)
	gap := sink.awaitGap(t, batch.GapNATSDropped)
	wantWindow(t, gap, kept, kept)
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("after")})
	sink.await(t, "record", func() bool { return sink.records[len(sink.records)-1].value == "after" })
}

// pulse lets go of what waits, and has what comes then wait for the channel.
func (p *proxy) pulse(until chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.hung)
	p.hung = until
}

// What was read last may have been published long before: the gap begins where NATS last confirmed that all was heard, not there
// (S13).
func TestConnectionIsCutBehindOldMessages(t *testing.T) {
	t.Parallel()
	var p *proxy
	w := newWorld(t, func(c *capture.Config) {
		p = newProxy(t, c.URLs[len("nats://"):])
		c.URLs = "nats://" + p.listener.Addr().String()
	})
	sink := newMemory()
	w.subscribe(target("s", "orders"), sink)
	w.publish(&nats.Msg{Subject: "orders"})
	sink.awaitRecords(t, 1)
	p.hang(make(chan struct{}))
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("old")})
	untilSend(t, "hold the old message alone", func() bool { return p.holds("old") })
	w.publish(&nats.Msg{Subject: "orders", Data: []byte("lost")})
	lost := time.Now()
	<-time.After(1500 * time.Millisecond) // longer than any message is on its way
	p.pulse(make(chan struct{}))
	sink.awaitRecords(t, 2)
	p.cut()
	p.hang(nil)
	wantWindow(t, sink.awaitGap(t, batch.GapNATSDisconnected), lost, lost)
}
