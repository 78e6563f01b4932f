package server

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
)

// A NATS that refuses has nobody but us, and lets nobody in; what came from somebody else nevertheless is doubted (S13).
func TestRefusingNATS(t *testing.T) {
	t.Parallel()
	n, err := startNATS(t.Context(), "127.0.0.1:0", "n", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer n.stop()
	connect := func() (*nats.Conn, func()) {
		t.Helper()
		closed := make(chan struct{})
		conn, err := nats.Connect("nats://"+n.address, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
		if err != nil {
			t.Fatal(err)
		}
		return conn, func() { conn.Close(); <-closed }
	}
	ours, closeOurs := connect()
	defer closeOurs()
	other, closeOther := connect()
	defer closeOther()
	if err := n.unheard(); err != nil {
		t.Errorf("nobody has published: %v", err)
	}
	if err := other.Publish("a", nil); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := until(t.Context(), func() (bool, error) { return n.unheard() != nil, nil }); err != nil { // its counters lag behind
		t.Errorf("messages that came while NATS was open are not doubted: %v", err)
	}
	id, err := ours.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.refuse(t.Context(), []uint64{id}); err != nil {
		t.Fatal(err)
	}
	if err := ours.Flush(); err != nil {
		t.Errorf("our connection: %v", err)
	}
	if err := other.Flush(); err == nil {
		t.Error("the other one was answered")
	}
	if conn, err := nats.Connect("nats://" + n.address); err == nil {
		conn.Close()
		t.Error("somebody came in")
	}
	if err := n.unheard(); err != nil {
		t.Errorf("nobody came in: %v", err)
	}
	if err := ours.Publish("a", nil); err != nil {
		t.Fatal(err)
	}
	n.newest = 0 // our own connection is as good as one that came in
	if err := ours.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := until(t.Context(), func() (bool, error) { return n.unheard() != nil, nil }); err != nil {
		t.Errorf("messages of a newer connection are not doubted: %v", err)
	}
}
