package ordeal

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

const (
	// portsFrom and portsUntil bound the ports that processes keep over their lives. Systems give none of them to those who ask
	// for any port (Linux begins at 32768, others at 49152): while a process is away, no other test gets its port.
	portsFrom, portsUntil = 15_000, 32_000
	// portsEach is how many ports the tests take, at most: two runs of them at once begin that far apart.
	portsEach = 256
)

// portsTaken counts the ports that were taken or were somebody's already. Each is tried once.
var portsTaken atomic.Int64

// freeAddress is one that nobody listens on, nor will but for whoever is given it.
func freeAddress(t *testing.T) string {
	t.Helper()
	begin := int64(os.Getpid()) * portsEach
	for {
		n := portsTaken.Add(1)
		if n > portsUntil-portsFrom {
			t.Fatalf("no port from %d until %d is free", portsFrom, portsUntil)
		}
		address := fmt.Sprintf("127.0.0.1:%d", portsFrom+(begin+n)%(portsUntil-portsFrom))
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue // it is somebody's
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
}

// keptPorts are flags of a server that is to come back where it was. Those who use a NATS that is not its own leave out the
// last two.
func keptPorts(t *testing.T) []string {
	t.Helper()
	return []string{
		"--listen", freeAddress(t), "--http", freeAddress(t), "--peer", freeAddress(t), "--nats-listen", freeAddress(t),
	}
}
