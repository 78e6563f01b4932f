package ordeal

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

// refusals are how often the two connections of a server are refused: NATS clients give up after two each, by default.
const refusals = 8

// TestLoginRefusedForAWhile has a NATS that comes back and does not know the server for some time, as one does whose accounts are
// not loaded yet: the server tries on, with a word in its log, and captures again.
func TestLoginRefusedForAWhile(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
	defer cancel()
	address := servertest.FreeAddress(t)
	knows := startNATSFor(ctx, t, address, secret)
	b := launch(t, built.Path(t), t.TempDir(), "--nats", "nats://trestle:"+secret+"@"+address)
	s, err := b.client.CreateStream(ctx, client.StreamConfig{Name: "steady", Subjects: []string{"steady"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := knows.Terminate(ctx); err != nil {
		t.Fatal(err)
	}
	other := startNATSFor(ctx, t, address, secret+" of others")
	refused := func() int {
		log, err := os.ReadFile(other.log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(log), "authentication error")
	}
	ticks, late := time.NewTicker(10*time.Millisecond), time.After(readyLimit)
	defer ticks.Stop()
	for refused() < refusals {
		select {
		case <-ticks.C:
		case <-late:
			t.Fatalf("the server tried %d times; its log ends:\n%s", refused(), b.server.Log())
		}
	}
	if err := other.Terminate(ctx); err != nil {
		t.Fatal(err)
	}
	startNATSFor(ctx, t, address, secret)
	p := startSteady(t, "nats://trestle:"+secret+"@"+address, "steady")
	b.awaitStored(ctx, s, p, time.Now())
	if n := strings.Count(b.server.Log(), "nats refuses the login"); n != 1 {
		t.Errorf("the log says %d times that logins are refused, want once:\n%s", n, b.server.Log())
	}
	if strings.Contains(b.server.Log(), secret) {
		t.Errorf("the password is shown: %s", b.server.Log())
	}
}

// choosyNATS is a NATS server that logs whom it refuses.
type choosyNATS struct {
	*servertest.Process
	log string // file
}

// startNATSFor starts a NATS server that takes those with that password.
func startNATSFor(ctx context.Context, t *testing.T, address, password string) choosyNATS {
	t.Helper()
	config, log := filepath.Join(t.TempDir(), "nats.conf"), filepath.Join(t.TempDir(), "nats.log")
	text := "listen: \"" + address + "\"\nauthorization { user: trestle, password: \"" + password + "\" }\nlog_file: \"" + log + "\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startRole(t, "nats", config)
	if _, err := p.FirstLine(ctx); err != nil {
		t.Fatal(err)
	}
	return choosyNATS{p, log}
}
