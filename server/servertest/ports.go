package servertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
)

const (
	// portsFrom and portsUntil bound the ports that servers keep over their lives. Systems give none of them to those who ask for
	// any port (Linux begins at 32768, others at 49152): while a server is away, nobody else gets its port by chance.
	portsFrom, portsUntil = 15_000, 32_000
	// portsEach is how many ports a block has. The first of them is its lock: whoever listens there owns the others, as in
	// sdk/freeport of HashiCorp's Consul.
	portsEach  = 100
	portBlocks = (portsUntil - portsFrom) / portsEach
)

// portsOfProcess are those of this test binary.
var portsOfProcess ports

// FreeAddress is an address of loopback, with its port, that nobody listens on. It is given out once: no other test gets it, be
// it in this process or in another one that asks here as long as this process lives. So a server can be stopped and started
// again where it was.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := portsOfProcess.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// ports gives out the ports of blocks that no other process has.
type ports struct {
	mu    sync.Mutex
	locks []net.Listener // guarded by mu; a lock is held as long as its listener is open, which is until the process ends
	next  int            // guarded by mu; the first port of the newest block that was not tried yet
	end   int            // guarded by mu; of the newest block
}

// take returns an address that it has not returned before.
func (p *ports) take(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.next == p.end {
			if err := p.takeBlock(ctx); err != nil {
				return "", err
			}
		}
		port := p.next
		p.next++
		listener, err := listenOn(ctx, port)
		if err != nil {
			continue // a program has it that knows nothing of blocks
		}
		return listener.Addr().String(), listener.Close()
	}
}

// takeBlock locks a block. The caller holds mu.
func (p *ports) takeBlock(ctx context.Context) error {
	for n := range portBlocks {
		first := portsFrom + (os.Getpid()+n)%portBlocks*portsEach
		lock, err := listenOn(ctx, first)
		if err != nil {
			continue // it has an owner
		}
		p.locks = append(p.locks, lock)
		p.next, p.end = first+1, first+portsEach
		return nil
	}
	return fmt.Errorf("no port from %d until %d is free: test binaries have them all; run fewer at once", portsFrom, portsUntil)
}

func listenOn(ctx context.Context, port int) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
