package capture

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pipe is a wire whose other end is kept.
func pipe(t *testing.T) (w *wire, far net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return &wire{Conn: near, stream: near}, far
}

// Commands go out once NATS knows who we are, between those of nats.go.
func TestWire(t *testing.T) {
	t.Parallel()
	w, far := pipe(t)
	if err := w.send([]byte("HPUB")); !errors.Is(err, errAway) {
		t.Errorf("before CONNECT: %v", err)
	}
	heard := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(far)
		heard <- all
	}()
	for _, line := range []string{"PING\r\n", "CONNECT {}\r\n"} {
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if err := w.send([]byte("HPUB")); !errors.Is(err, errAway) {
			t.Errorf("after %q: %v", line, err)
		}
	}
	for _, write := range []func() error{
		func() error { _, err := w.Write([]byte("PING\r\n")); return err },
		func() error { return w.send([]byte("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n")) },
		func() error { _, err := w.Write(nil); return err },
		func() error { _, err := w.Write([]byte("PUB a 0\r\n\r\n")); return err },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("PUB a 5\r\nha")); err == nil {
		t.Error("half a command went out")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := "PING\r\nCONNECT {}\r\nPING\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nPUB a 0\r\n\r\n"
	if got := <-heard; !bytes.Equal(got, []byte(want)) {
		t.Errorf("NATS hears %q, want %q", got, want)
	}
}

// What NATS does not read in time has gone out in part: the connection is given up, and nothing goes out on it any more.
func TestWireGivesUp(t *testing.T) {
	t.Parallel()
	w, far := pipe(t)
	w.open = true
	go func() { _, _ = io.ReadFull(far, make([]byte, 2)) }()
	begun := time.Now()
	if err := w.send([]byte("HPUB a 12 12\r\n")); err == nil {
		t.Error("it was read")
	}
	if waited := time.Since(begun); waited < signTimeout/2 {
		t.Errorf("given up after %v", waited)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection stands: %v", err)
	}
	if err := w.send([]byte("HPUB a 12 12\r\n")); !errors.Is(err, errAway) {
		t.Errorf("then: %v", err)
	}
}
