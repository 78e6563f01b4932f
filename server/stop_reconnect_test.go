package server_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

// relentless publishes over connections of its own, one after another, as fast as it can, and knows which of its messages a
// NATS server has confirmed with a PONG.
type relentless struct {
	address, name string
	quit          chan struct{}

	mu        sync.Mutex
	confirmed []string // values; guarded by mu
}

func (r *relentless) run() {
	for n := 0; ; {
		select {
		case <-r.quit:
			return
		default:
		}
		conn, err := net.DialTimeout("tcp", r.address, 100*time.Millisecond)
		if err != nil {
			continue
		}
		n = r.publish(conn, n)
		_ = conn.Close()
	}
}

// publish publishes until the connection ends, and returns the number of the message that comes next.
func (r *relentless) publish(conn net.Conn, n int) int {
	lines := bufio.NewScanner(conn)
	if _, err := fmt.Fprint(conn, "CONNECT {\"verbose\":false}\r\n"); err != nil {
		return n
	}
	for {
		select {
		case <-r.quit:
			return n
		default:
		}
		n++
		value := fmt.Sprintf("%s %d", r.name, n)
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := fmt.Fprintf(conn, "PUB orders %d\r\n%s\r\nPING\r\n", len(value), value); err != nil {
			return n
		}
		for answered := false; !answered; answered = lines.Text() == "PONG" {
			if !lines.Scan() {
				return n
			}
		}
		r.mu.Lock()
		r.confirmed = append(r.confirmed, value)
		r.mu.Unlock()
	}
}

func (r *relentless) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.confirmed)
}

// What publishers that come back at once get confirmed while a broker stops is stored, or a gap says that something is
// missing (S13).
func TestStopUnderReconnects(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "orders", "orders")
	for round := range 5 {
		var all []*relentless
		var running sync.WaitGroup
		quit := make(chan struct{})
		for p := range 3 {
			r := &relentless{address: strings.TrimPrefix(k.NATS(), "nats://"), name: fmt.Sprintf("%d.%d", round, p), quit: quit}
			all = append(all, r)
			running.Go(r.run)
		}
		for all[0].count() < 100 {
			if err := k.nats.FlushTimeout(patience); err != nil { // a rest for this loop
				t.Fatal(err)
			}
		}
		k.nats.Close()
		_ = k.client.Close()
		k.Brokers[0].Stop()
		close(quit)
		running.Wait()
		k.Brokers[0].Start()
		k.connect(t)
		k.wantConfirmed(t, all)
	}
}

// wantConfirmed looks for messages that were confirmed, and are neither stored nor in a gap.
func (k *kit) wantConfirmed(t *testing.T, publishers []*relentless) {
	t.Helper()
	s := k.client.Stream("orders")
	stored := map[string]bool{}
	for _, m := range read(t, s, -1, client.FromEarliest(), client.UntilLatest()) {
		stored[string(m.Value)] = true
	}
	var missing []string
	confirmed := 0
	for _, p := range publishers {
		confirmed += p.count()
		for _, value := range p.confirmed {
			if !stored[value] {
				missing = append(missing, value)
			}
		}
	}
	gap := lastGap(t, k.client, "orders")
	t.Logf("%d confirmed, %d of them not stored; gap %+v", confirmed, len(missing), gap)
	if len(missing) > 0 && gap == nil {
		t.Errorf("%d of %d confirmed messages are missing without a gap, the first %q", len(missing), confirmed, missing[0])
	}
}
