package capture_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/trestlehq/trestle/server/internal/capture"
)

// doorkeeper lets clients in or not, and tells of those that it does not.
type doorkeeper struct {
	closed  bool
	refused chan struct{}
}

// Check is called for each login.
func (d *doorkeeper) Check(natsserver.ClientAuthentication) bool {
	if d.closed {
		select {
		case d.refused <- struct{}{}:
		default:
		}
	}
	return !d.closed
}

// guardedNATS is a NATS server that asks the doorkeeper.
func guardedNATS(t *testing.T, port int, door *doorkeeper) *natsserver.Server {
	t.Helper()
	server, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoSystemAccount: true, CustomClientAuthentication: door,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { stopNATS(server) })
	if !server.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	return server
}

// sharedLog is a log that several write and one reads.
type sharedLog struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *sharedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

func (l *sharedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// A NATS that comes back and refuses the broker's logins is said once, however often it does.
func TestRefusedLoginIsLoggedOnce(t *testing.T) {
	t.Parallel()
	server := guardedNATS(t, natsserver.RANDOM_PORT, &doorkeeper{})
	log := &sharedLog{}
	source, err := capture.Connect(t.Context(), capture.Config{
		URLs: server.ClientURL(), MaxMessageBytes: 8 << 20, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	addr, ok := server.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("NATS listens on %v", server.Addr())
	}
	stopNATS(server)
	door := &doorkeeper{closed: true, refused: make(chan struct{}, 1)}
	guardedNATS(t, addr.Port, door)
	for range 8 { // four of each connection, at least two of which it has heard of
		<-door.refused
	}
	if got := log.String(); strings.Count(got, "nats refuses the login") != 1 || strings.Count(got, "level=ERROR") != 1 {
		t.Errorf("got log %s, want one line that NATS refuses the login", got)
	}
}
