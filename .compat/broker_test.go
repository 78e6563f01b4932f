// Package compat holds the tests that drive a broker with the Go client of Liftbridge, as it is. It is a module of its own: a
// program cannot link that client and the broker's stubs of the same protobuf package, so the broker is a process.
package compat

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
	"github.com/nats-io/nats.go"
)

// patience is how long anything may take that a test waits for, on a machine that has no time for it.
const patience = time.Minute

// broker is a process that may be stopped and started again, on the same ports and folder.
type broker struct {
	t        *testing.T
	kind     kind
	tls      *tlsFiles // nil: in the clear
	key      string    // for values; empty: none
	activity bool      // events are recorded
	dir      string
	grpc     string // HOST:PORT
	nats     string // URL
	log      *output

	process *exec.Cmd
	ended   chan error
}

// output gathers what the broker says, to be shown when a test fails.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// start runs a broker until the test ends.
func start(t *testing.T, with ...func(*broker)) *broker {
	t.Helper()
	b := &broker{t: t, kind: driven, dir: t.TempDir(), grpc: "127.0.0.1:0", nats: "nats://127.0.0.1:0", log: &output{}}
	for _, set := range with {
		set(b)
	}
	b.start()
	t.Cleanup(func() {
		b.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the broker said:\n%s", b.log.text.String())
		}
	})
	return b
}

func (b *broker) start() {
	b.t.Helper()
	b.process = b.kind.command(b)
	b.process.Stderr = b.log
	out, err := b.process.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.process.Start(); err != nil {
		b.t.Fatal(err)
	}
	lines, ready, ended := bufio.NewReader(out), make(chan error, 1), make(chan error, 1)
	b.ended = ended
	go func(process *exec.Cmd) {
		ready <- b.kind.ready(b, lines)
		_, _ = io.Copy(io.Discard, lines)
		ended <- process.Wait()
	}(b.process)
	if err := <-ready; err != nil {
		b.t.Fatalf("the broker did not start: %v\n%s", err, b.log.text.String())
	}
}

// stop ends the process with a signal.
func (b *broker) stop(with os.Signal) {
	b.t.Helper()
	if b.process == nil {
		return
	}
	if with == syscall.SIGTERM {
		with = b.kind.gentle()
	}
	if err := b.process.Process.Signal(with); err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.t.Error(err)
	}
	select {
	case err := <-b.ended:
		if err != nil && with != os.Kill {
			b.t.Errorf("the broker ended with %v", err)
		}
	case <-time.After(patience):
		b.t.Error("the broker does not end")
	}
	b.process = nil
}

// restart kills the broker, or stops it in order, and starts it again.
func (b *broker) restart(with os.Signal) {
	b.t.Helper()
	b.stop(with)
	b.start()
}

// connect returns a client, with a context for its calls.
func (b *broker) connect(options ...lift.ClientOption) (lift.Client, context.Context) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.t.Cleanup(cancel)
	c, err := lift.ConnectCtx(ctx, []string{b.grpc}, options...)
	if err != nil {
		b.t.Fatalf("connecting: %v", err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	return c, ctx
}

// plain returns a plain client of the embedded NATS.
func (b *broker) plain() *nats.Conn {
	b.t.Helper()
	nc, err := nats.Connect(b.nats, nats.Timeout(patience))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

// received is what a handler was called with.
type received struct {
	msg *lift.Message
	err error
}

// reader gathers what comes to a subscription.
type reader struct {
	t    *testing.T
	got  chan received
	stop context.CancelFunc
}

func subscribe(t *testing.T, c lift.Client, stream string, options ...lift.SubscriptionOption) *reader {
	t.Helper()
	r, err := trySubscribe(t, c, stream, options...)
	if err != nil {
		t.Fatalf("subscribing to %s: %v", stream, err)
	}
	return r
}

func trySubscribe(t *testing.T, c lift.Client, stream string, options ...lift.SubscriptionOption) (*reader, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := &reader{t: t, got: make(chan received, 10_000), stop: cancel}
	return r, c.Subscribe(ctx, stream, func(m *lift.Message, err error) { r.got <- received{m, err} }, options...)
}

func (r *reader) next() received {
	r.t.Helper()
	select {
	case got := <-r.got:
		return got
	case <-time.After(patience):
		r.t.Fatal("nothing comes")
		return received{}
	}
}

// values are those of the next n messages.
func (r *reader) values(n int) (all []string) {
	r.t.Helper()
	for range n {
		got := r.next()
		if got.err != nil {
			r.t.Fatalf("after %q: %v", all, got.err)
		}
		all = append(all, string(got.msg.Value()))
	}
	return all
}

// expect checks the values that come next.
func (r *reader) expect(want ...string) {
	r.t.Helper()
	if got := r.values(len(want)); strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Fatalf("got %q, want %q", got, want)
	}
}

// ends checks how the subscription ends.
func (r *reader) ends(want error) {
	r.t.Helper()
	if got := r.next(); got.msg != nil || !errors.Is(got.err, want) {
		r.t.Fatalf("got %v, %v; want the end: %v", got.msg, got.err, want)
	}
}

func publish(t *testing.T, ctx context.Context, c lift.Client, stream string, values ...string) {
	t.Helper()
	for _, v := range values {
		if _, err := c.Publish(ctx, stream, []byte(v)); err != nil {
			t.Fatalf("publishing %q to %s: %v", v, stream, err)
		}
	}
}

func create(t *testing.T, ctx context.Context, c lift.Client, name string, options ...lift.StreamOption) {
	t.Helper()
	if err := c.CreateStream(ctx, name, name, options...); err != nil {
		t.Fatalf("creating %s: %v", name, err)
	}
}
