package client_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy passes bytes on to a server, and breaks connections in the middle of them.
type proxy struct {
	addr   string
	target string
	budget func() int64 // bytes that the next connection lets through from the server before it breaks

	mu    sync.Mutex
	conns int // so far
	open  map[net.Conn]struct{}
	work  sync.WaitGroup
}

// newProxy listens until the test is over. The budget is asked by one goroutine.
func newProxy(t *testing.T, target string, budget func() int64) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String(), target: target, budget: budget, open: map[net.Conn]struct{}{}}
	p.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			limit := p.budget()
			p.work.Go(func() { p.pass(conn, limit) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for conn := range p.open {
			_ = conn.Close()
		}
		p.mu.Unlock()
		p.work.Wait()
	})
	return p
}

func (p *proxy) pass(near net.Conn, limit int64) {
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = near.Close()
		return
	}
	p.mu.Lock()
	p.conns++
	p.open[near], p.open[far] = struct{}{}, struct{}{}
	p.mu.Unlock()
	closeBoth := func() {
		_, _ = near.Close(), far.Close()
	}
	p.work.Go(func() {
		_, _ = io.Copy(far, near)
		closeBoth()
	})
	_, _ = io.CopyN(near, far, limit)
	closeBoth()
	p.mu.Lock()
	delete(p.open, near)
	delete(p.open, far)
	p.mu.Unlock()
}

// connections is how many there were so far.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}
