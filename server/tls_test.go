package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/server"
)

// identity is a certificate for 127.0.0.1 that is its own CA.
type identity struct {
	server.TLSFiles
	pair tls.Certificate
	pool *x509.CertPool
}

// newIdentity writes one, with that serial number, into the folder.
func newIdentity(t *testing.T, dir string, serial int64) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "trestle"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := identity{pool: x509.NewCertPool()}
	id.Cert, id.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, text := range map[string][]byte{id.Key: keyPEM, id.Cert: certPEM} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if id.pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	id.pool.AppendCertsFromPEM(certPEM)
	return id
}

func startTLS(t *testing.T, files server.TLSFiles) server.Ready {
	t.Helper()
	config := server.DefaultConfig()
	config.DataDir, config.TLS, config.Logger = t.TempDir(), files, slog.New(slog.NewTextHandler(t.Output(), nil))
	config.Listen, config.HTTPListen, config.PeerListen, config.NATSListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s.Ready()
}

// refusalTime is how long a client that is refused is left to try.
const refusalTime = 2 * time.Second

// lists says whether a client may do something, within that time.
func lists(t *testing.T, within time.Duration, address string, opts ...client.Option) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := client.Connect(ctx, address, opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, err := range c.Streams(ctx, "*") {
		return err
	}
	return nil
}

func httpStatus(t *testing.T, url string, config *tls.Config) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// With TLS, gRPC and HTTP are served over TLS only; with a CA those only are served who show a certificate, but for probes.
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, other := newIdentity(t, t.TempDir(), 1), newIdentity(t, t.TempDir(), 2)
	withoutCA := ours.TLSFiles
	open := startTLS(t, withoutCA)
	trusting := &tls.Config{RootCAs: ours.pool, MinVersion: tls.VersionTLS12}
	if err := lists(t, patience, open.GRPC, client.WithTLS(trusting)); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	if lists(t, refusalTime, open.GRPC) == nil {
		t.Error("a client in the clear was served")
	}
	if got := httpStatus(t, "https://"+open.HTTP+"/metrics", trusting); got != http.StatusOK {
		t.Errorf("metrics: got %d", got)
	}
	withCA := ours.TLSFiles
	withCA.CA = ours.Cert
	closed := startTLS(t, withCA)
	for name, c := range map[string]struct {
		shows   []tls.Certificate
		served  bool
		metrics int
	}{
		"a certificate of the CA": {[]tls.Certificate{ours.pair}, true, http.StatusOK},
		"none":                    {nil, false, http.StatusForbidden},
		"another's":               {[]tls.Certificate{other.pair}, false, 0},
	} {
		config := &tls.Config{RootCAs: ours.pool, MinVersion: tls.VersionTLS12}
		if len(c.shows) > 0 { // also where the server says that it would not believe it
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.shows[0], nil }
		}
		within := patience
		if !c.served {
			within = refusalTime
		}
		if err := lists(t, within, closed.GRPC, client.WithTLS(config)); (err == nil) != c.served {
			t.Errorf("%s: gRPC: %v", name, err)
		}
		if got := httpStatus(t, "https://"+closed.HTTP+"/metrics", config); got != c.metrics {
			t.Errorf("%s: metrics: got %d, want %d", name, got, c.metrics)
		}
	}
	if got := httpStatus(t, "https://"+closed.HTTP+"/livez", trusting); got != http.StatusOK {
		t.Errorf("a probe without a certificate: got %d", got)
	}
}

// A certificate that is renewed on disk is shown from then on, without a restart.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newIdentity(t, dir, 1)
	ready := startTLS(t, first.TLSFiles)
	second := newIdentity(t, dir, 2)
	if err := os.Chtimes(second.Cert, time.Time{}, time.Now().Add(time.Minute)); err != nil { // whatever the clock of the disk
		t.Fatal(err)
	}
	if err := lists(t, patience, ready.GRPC, client.WithTLS(&tls.Config{RootCAs: second.pool, MinVersion: tls.VersionTLS12})); err != nil {
		t.Errorf("the new certificate is not shown: %v", err)
	}
}
