package servertest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

const (
	// portsFrom and portsUntil bound the ports that brokers keep over their lives. Systems give none of them to those who ask for
	// any port (Linux begins at 32768, others at 49152): while a broker is away, no other test gets its port.
	portsFrom, portsUntil = 15_000, 32_000
	// portsEach is how many ports a test binary takes, about: two of them that run at once begin that far apart, at least.
	portsEach = 256
)

// portsTaken counts the ports that were taken or were somebody's already. Each is tried once.
var portsTaken atomic.Int64

// freeAddress is one that nobody listens on, nor will but for whoever is given it.
func freeAddress(t testing.TB) string {
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
