package capture_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
)

// allowing are options of a NATS whose broker may subscribe to these subjects only.
func allowing(subjects ...string) *natsserver.Options {
	return &natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoSystemAccount: true,
		Users: []*natsserver.User{
			{Username: "broker", Password: "b", Permissions: &natsserver.Permissions{Subscribe: &natsserver.SubjectPermission{Allow: subjects}}},
			{Username: "all", Password: "a"},
		},
	}
}

// A subscription that NATS does not allow is an error, and none that is taken away goes unnoticed: nothing is missing outside
// of gaps (S13).
func TestSubscriptionRefused(t *testing.T) {
	t.Parallel()
	options := allowing("ok.>", "more.>")
	server, err := natsserver.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { stopNATS(server) })
	if !server.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	address := server.Addr().String()
	w := &world{t: t, server: server}
	if w.Source, err = capture.Connect(t.Context(), capture.Config{
		URLs: "nats://broker:b@" + address, MaxMessageBytes: 8 << 20, DropsReaders: true,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if _, err := w.Subscribe(t.Context(), target("forbidden", "a.*"), newMemory()); !errors.Is(err, capture.ErrNotAllowed) {
		t.Errorf("a forbidden subscription: %v", err)
	}
	if err := w.Hearing(); err != nil {
		t.Errorf("after one that was refused: %v", err)
	}
	sink, other := newMemory(), newMemory()
	sub := w.subscribe(target("orders", "ok.orders"), sink)
	w.subscribe(target("others", "more.others"), other)
	client := w.connect("nats://all:a@" + address)
	reload := func(subjects ...string) {
		t.Helper()
		next := allowing(subjects...)
		next.Port = options.Port
		if err := server.ReloadOptions(next); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(value string) {
		t.Helper()
		if err := errors.Join(client.Publish("ok.orders", []byte(value)), client.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	reload("more.>")
	for deadline := time.Now().Add(10 * time.Second); w.Hearing() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices that NATS allows it no more")
		}
		if err := client.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	publish("unheard")
	lost := time.Now().UnixNano()
	reload("ok.>", "more.>")
	gap := sink.awaitGap(t, batch.GapNATSDisconnected)
	if gap.FromTime > lost || gap.ToTime < lost {
		t.Errorf("gap %+v, and a message was lost at %d", gap, lost)
	}
	publish("heard")
	if records := sink.awaitRecords(t, 1); records[0].value != "heard" {
		t.Errorf("%+v", records)
	}
	if err := w.Hearing(); err != nil {
		t.Errorf("when it is heard again: %v", err)
	}
	w.drain(sub)
}
