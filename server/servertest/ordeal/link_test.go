package ordeal

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
)

// link is the network between a broker and its NATS, which can be cut. It passes bytes on over TCP.
type link struct {
	url    string // for the broker
	target string
	work   sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]struct{} // guarded by mu
	cut   bool                  // connections are reset at once; guarded by mu
	moves chan struct{}         // closed when bytes are passed on; another one while they are not; guarded by mu
	ended bool                  // guarded by mu
}

// newLink listens for the broker, until the test ends. The URL is that of the NATS.
func newLink(t *testing.T, url string) *link {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{
		url: "nats://" + listener.Addr().String(), target: strings.TrimPrefix(url, "nats://"),
		open: map[net.Conn]struct{}{}, moves: make(chan struct{}),
	}
	close(l.moves)
	l.work.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() { l.join(near) })
		}
	})
	t.Cleanup(func() {
		err := listener.Close()
		l.end()
		l.work.Wait()
		if err != nil {
			t.Error(err)
		}
	})
	return l
}

// join connects the broker with NATS until one of them, or reset, ends it.
func (l *link) join(near net.Conn) {
	if !l.keep(near) {
		return
	}
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		l.reset(near)
		return
	}
	if !l.keep(far) {
		l.reset(near)
		return
	}
	var passing sync.WaitGroup
	passing.Go(func() { l.pass(far, near); l.reset(far, near) })
	l.pass(near, far)
	l.reset(far, near)
	passing.Wait()
}

// keep notes a connection, or resets it and says false while all are.
func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut || l.ended {
		abort(conn)
		return false
	}
	l.open[conn] = struct{}{}
	return true
}

func (l *link) pass(to, from net.Conn) {
	bytes := make([]byte, 32<<10)
	for {
		n, err := from.Read(bytes)
		l.mu.Lock()
		moves := l.moves
		l.mu.Unlock()
		<-moves
		if _, failed := to.Write(bytes[:n]); errors.Join(err, failed) != nil {
			return
		}
	}
}

func (l *link) reset(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		abort(conn)
		delete(l.open, conn)
	}
}

// abort ends a connection with a reset.
func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0) // it may have ended
	_ = conn.Close()
}

// freeze stops passing bytes on, of connections that are and that come, without ending any.
func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moves = make(chan struct{})
}

// thaw passes on again, what was held back first.
func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.moves)
}

// sever resets all connections, and those that come until mend.
func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for conn := range l.open {
		abort(conn)
	}
	clear(l.open)
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *link) end() {
	l.sever()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	select {
	case <-l.moves:
	default:
		close(l.moves)
	}
}
