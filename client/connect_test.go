package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

// Addresses on which nothing listens: these ports are given to nobody who asks for any port.
const (
	deadAddress      = "127.0.0.1:1"
	otherDeadAddress = "127.0.0.1:2"
)

func TestConnectRefusesAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, addrs := range []string{"", "localhost", "localhost:", ":9292", "a:1,,b:2", "http://localhost:9292"} {
		_, err := client.Connect(t.Context(), addrs)
		if !errors.Is(err, client.ErrInvalidArgument) || !strings.Contains(err.Error(), "write host:port") {
			t.Errorf("addresses %q: got %v, want an invalid argument that says what to write", addrs, err)
		}
	}
}

func TestConnectSaysWhyNoAddressAnswers(t *testing.T) {
	t.Parallel()
	_, err := client.Connect(within(t), deadAddress+","+otherDeadAddress)
	if !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	for _, part := range []string{deadAddress, otherDeadAddress, "connection refused", "trestle server", "TRESTLE_ADDR"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestConnectGivesUpOnOneWhoSaysNothing(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = client.Connect(ctx, listener.Addr().String())
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable because the deadline passed", err)
	}
	if !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("error %q does not name the address", err)
	}
}

func TestConnectTellsAnotherKindOfServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other, served := grpc.NewServer(), make(chan error, 1)
	go func() { served <- other.Serve(listener) }()
	t.Cleanup(func() {
		other.Stop()
		<-served
	})
	_, err = client.Connect(within(t), listener.Addr().String())
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "not a trestle server") {
		t.Errorf("got %v, want one that says that this is another kind of server", err)
	}
}

func TestConnectTriesAddressesInOrder(t *testing.T) {
	t.Parallel()
	first, second := newFakeServer("on-first", 1), newFakeServer("on-second", 1)
	a, b := first.listen(t), second.listen(t)

	c := connect(t, deadAddress+","+a.addr+","+b.addr)
	if _, err := c.Stream("on-first").Info(within(t)); err != nil {
		t.Fatalf("with the first address dead, the second does not serve: %v", err)
	}
	a.stop()
	ctx := within(t)
	for { // until the broken connection is noticed
		_, err := c.Stream("on-second").Info(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, client.ErrStreamNotFound) {
			t.Fatalf("with the second address dead too, the third does not serve: %v", err)
		}
	}
}

func TestConnectByTLS(t *testing.T) {
	t.Parallel()
	certificate := servertest.SelfSigned(t, t.TempDir())
	pool := certificate.Pool()
	server := newFakeServer("orders", 1)
	secure := server.listen(t, grpc.Creds(credentials.NewServerTLSFromCert(&certificate.Pair)))

	c := connect(t, secure.addr, client.WithTLS(&tls.Config{RootCAs: pool}))
	if _, err := c.Stream("orders").Info(within(t)); err != nil {
		t.Errorf("with the right authority: %v", err)
	}
	for name, opts := range map[string][]client.Option{
		"an authority that is not known":        {client.WithTLS(&tls.Config{RootCAs: x509.NewCertPool()})},
		"a name that is not in the certificate": {client.WithTLS(&tls.Config{RootCAs: pool, ServerName: "other.example"})},
		"no TLS":                                nil,
	} {
		if _, err := client.Connect(within(t), secure.addr, opts...); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), secure.addr) {
			t.Errorf("with %s: got %v, want ErrUnavailable that names the address", name, err)
		}
	}
}

func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	storing, goOn := make(chan struct{}), make(chan struct{})
	server.afterStore = func(context.Context) error {
		close(storing)
		<-goOn
		return nil
	}
	c := connect(t, server.listen(t).addr)
	published, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.Stream("orders").Publish(within(t), []byte("hello"))
		published <- err
	}()
	<-storing
	go func() { closed <- c.Close() }()
	for { // until Close has begun
		if _, err := c.Stream("orders").Info(within(t)); errors.Is(err, client.ErrClosed) {
			break
		}
	}
	select {
	case err := <-closed:
		t.Errorf("Close returned (%v) while a call was under way", err)
	default:
	}
	close(goOn)
	if err := <-published; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestAfterCloseNothingWorks(t *testing.T) {
	t.Parallel()
	c := connect(t, newFakeServer("orders", 1).listen(t).addr)
	s := c.Stream("orders")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Info":         func() error { _, err := s.Info(t.Context()); return err },
		"Publish":      func() error { _, err := s.Publish(t.Context(), nil); return err },
		"Subscribe":    func() error { _, err := s.Subscribe(t.Context()); return err },
		"CreateStream": func() error { _, err := c.CreateStream(t.Context(), client.StreamConfig{Name: "x"}); return err },
		"Streams": func() (err error) {
			for _, err = range c.Streams(t.Context(), "") {
			}
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, client.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}
