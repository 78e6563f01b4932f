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

// Commands go out once NATS has said that it knows who we are, in whatever pieces, between those of nats.go.
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
	if _, err := w.Write([]byte("CONNECT {}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	said := "INFO {\"PONG\":1}\r\n+OK\r\n-ERR 'PONG'\r\nPONG \r\nPONG\r\n"
	for i := range len(said) {
		if err := w.send([]byte("HPUB")); !errors.Is(err, errAway) {
			t.Errorf("after %q: %v", said[:i], err)
		}
		go func() { _, _ = far.Write([]byte(said[i : i+1])) }()
		if n, err := w.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Fatal(n, err)
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
	want := "CONNECT {}\r\nPING\r\nPING\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nPUB a 0\r\n\r\n"
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
	cleared := make(chan struct{})
	go func() { // as nats.go does when it has connected
		defer close(cleared)
		<-time.After(signTimeout / 10)
		_, _ = w.SetDeadline(time.Time{}), w.SetWriteDeadline(time.Time{})
	}()
	if err := w.send([]byte("HPUB a 12 12\r\n")); err == nil {
		t.Error("it was read")
	}
	if waited := time.Since(begun); waited < signTimeout/2 {
		t.Errorf("given up after %v", waited)
	}
	<-cleared
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection stands: %v", err)
	}
	if err := w.send([]byte("HPUB a 12 12\r\n")); !errors.Is(err, errAway) {
		t.Errorf("then: %v", err)
	}
}
