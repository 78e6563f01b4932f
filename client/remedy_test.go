package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server/servertest"
)

// TestConnectNamesTheRemedyOfTLS: who mixes up TLS, its files or the port is told that, and not to start a server.
func TestConnectNamesTheRemedyOfTLS(t *testing.T) {
	t.Parallel()
	authority := servertest.SelfSigned(t, t.TempDir())
	served, own := authority.Sign(t, t.TempDir()), authority.Sign(t, t.TempDir())
	stranger := servertest.SelfSigned(t, t.TempDir())
	server := newFakeServer("orders", 1)
	inTheClear := server.listen(t).addr
	secure := server.listen(t, grpc.Creds(credentials.NewServerTLSFromCert(&served.Pair))).addr
	mutual := server.listen(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{served.Pair}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}))).addr
	nats := greeting(t, "INFO {\"server_id\":\"NA\",\"version\":\"2.11.0\",\"proto\":1,\"host\":\"127.0.0.1\",\"port\":4222}\r\n")
	trusting := &tls.Config{RootCAs: authority.Pool()}
	with := func(pair *servertest.Certificate) *tls.Config {
		return &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{pair.Pair}}
	}
	for name, test := range map[string]struct {
		address string
		tls     *tls.Config
		want    []string // all of them
		never   string
	}{
		"TLS to a server in the clear":        {inTheClear, trusting, []string{"talks in the clear", "leave out --tls-ca", "WithTLS"}, "start one"},
		"an authority that is not the signer": {secure, &tls.Config{RootCAs: x509.NewCertPool()}, []string{"name the CA", "--tls-ca"}, "start one"},
		"a name that is not in it":            {secure, &tls.Config{RootCAs: authority.Pool(), ServerName: "other.example"}, []string{"that the certificate is for"}, "start one"},
		"in the clear to a server with TLS":   {secure, nil, []string{"if the server talks TLS, give --tls-ca"}, "--tls-cert"},
		"no certificate where one is wanted":  {mutual, trusting, []string{"--tls-cert and --tls-key"}, "--tls-ca"},
		"a certificate of another authority":  {mutual, with(stranger), []string{"certificate"}, "talks in the clear"},
		"NATS":                                {nats, nil, []string{"does not talk gRPC", "9292"}, "start one"},
		"nobody":                              {deadAddress, trusting, []string{"start one with `trestle server`"}, "--tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []client.Option
			if test.tls != nil {
				opts = append(opts, client.WithTLS(test.tls))
			}
			_, err := client.Connect(within(t), test.address, opts...)
			if !errors.Is(err, client.ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
			if t.Log(err); strings.Contains(err.Error(), test.never) {
				t.Errorf("error %q says %q", err, test.never)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
	if c := connect(t, mutual, client.WithTLS(with(own))); c == nil {
		t.Error("the right files do not connect either")
	}
}

// greeting is the address of a server that greets who connects with that text, and hears them out.
func greeting(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, text); err == nil {
				_, _ = io.Copy(io.Discard, conn) // until the other side hangs up, however it does
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}
