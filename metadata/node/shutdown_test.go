package node

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// A leader without a majority is shut down while commands wait: they are answered with an unknown outcome, and no
// goroutine is left.
func TestShutdownWhileCommandsWait(t *testing.T) {
	before := goleak.IgnoreCurrent()
	nodes := group(t, 2, &directory{})
	leader := leaderOf(t, nodes...)
	for _, n := range nodes {
		if n != leader {
			n.close(t)
		}
	}
	var proposing sync.WaitGroup
	begun := make(chan struct{}, 8)
	for range cap(begun) {
		proposing.Go(func() {
			begun <- struct{}{}
			_, err := leader.Propose(t.Context(), []byte("x"))
			if !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrStopped) && !errors.Is(err, ErrNotLeader) {
				t.Errorf("answered: %v", err)
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	leader.close(t)
	proposing.Wait()
	goleak.VerifyNone(t, before)
}

// Commands that are committed while the node shuts down are answered.
func TestShutdownUnderLoad(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for range 10 {
		n := openNode(t, Options{Bootstrap: true})
		n.waitLeading(t)
		var proposing sync.WaitGroup
		begun := make(chan struct{}, 8)
		for range cap(begun) {
			proposing.Go(func() {
				for i := 0; ; i++ {
					if _, err := n.Propose(t.Context(), []byte("x")); err != nil {
						if !errors.Is(err, ErrStopped) {
							t.Errorf("a leader with a majority answers %v", err)
						}
						return
					}
					if i == 0 {
						begun <- struct{}{}
					}
				}
			})
		}
		for range cap(begun) {
			<-begun
		}
		n.close(t)
		proposing.Wait()
	}
	goleak.VerifyNone(t, before)
}

// A caller that does not want to wait for the end can come back for it.
func TestShutdownWithoutPatience(t *testing.T) {
	n := openNode(t, Options{Bootstrap: true})
	n.waitLeading(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	n.close(t)
	if _, err := n.Propose(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("afterwards: %v", err)
	}
}

// A connection on which nothing is said behind the greeting does not hold the shutdown up.
func TestShutdownWithSilentConnection(t *testing.T) {
	n := openNode(t, Options{Bootstrap: true})
	conn, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(append([]byte{greetingVersion, byte(len(n.ID()))}, n.ID()...)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is accepted", func() bool {
		n.stream.mu.Lock()
		defer n.stream.mu.Unlock()
		return len(n.stream.open) == 1
	})
	n.close(t)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}
