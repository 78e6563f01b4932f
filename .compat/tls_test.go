package compat

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// tlsFiles are those of a server whose certificate is its own authority, which also signs itself as a client.
type tlsFiles struct {
	cert, key, ca string
	mutual        bool // clients must show a certificate, too
}

func newTLS(t *testing.T, mutual bool) *tlsFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "compat"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &tlsFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), ca: filepath.Join(dir, "cert.pem"), mutual: mutual}
	write(t, f.cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, f.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return f
}

// client is the configuration of a client that trusts the server and shows a certificate.
func (f *tlsFiles) client(t testing.TB) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// The client's two ways to use TLS, and a server that asks for certificates.
func TestTLS(t *testing.T) {
	plain := newTLS(t, false)
	b := start(t, func(b *broker) { b.tls = plain })
	for name, option := range map[string]lift.ClientOption{"file": lift.TLSCert(plain.cert), "config": lift.TLSConfig(plain.client(t))} {
		t.Run(name, func(t *testing.T) {
			c, ctx := b.connect(option)
			create(t, ctx, c, name)
			publish(t, ctx, c, name, "x")
			subscribe(t, c, name, lift.StartAtEarliestReceived()).expect("x")
		})
	}
	mutual := newTLS(t, true)
	b = start(t, func(b *broker) { b.tls = mutual })
	t.Run("mutual", func(t *testing.T) {
		c, ctx := b.connect(lift.TLSConfig(mutual.client(t)))
		create(t, ctx, c, "s")
		publish(t, ctx, c, "s", "x")
	})
	t.Run("without a certificate", func(t *testing.T) {
		if c, err := lift.ConnectCtx(t.Context(), []string{b.grpc}, lift.TLSCert(mutual.cert)); err == nil {
			_ = c.Close()
			t.Error("a client without a certificate was let in")
		}
	})
}
