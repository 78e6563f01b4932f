package servertest

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
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is a certificate with its key, for a server on 127.0.0.1 and for clients, from an hour ago until in an hour.
type Certificate struct {
	CertFile, KeyFile string // in PEM
	Pair              tls.Certificate
}

// SelfSigned makes a certificate that is its own authority, in files of that folder: cert.pem and key.pem.
func SelfSigned(t testing.TB, dir string) *Certificate {
	t.Helper()
	return makeCertificate(t, dir, nil)
}

// Sign makes a certificate by this one as its authority, in files of that folder: cert.pem and key.pem.
func (c *Certificate) Sign(t testing.TB, dir string) *Certificate {
	t.Helper()
	return makeCertificate(t, dir, &c.Pair)
}

// Pool trusts the certificate, and those that it signed if it is its own authority.
func (c *Certificate) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Pair.Leaf)
	return pool
}

// makeCertificate makes one that signs itself where signer is nil.
func makeCertificate(t testing.TB, dir string, signer *tls.Certificate) *Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if signer == nil {
		template.IsCA, template.KeyUsage = true, template.KeyUsage|x509.KeyUsageCertSign
		signer = &tls.Certificate{Leaf: template, PrivateKey: key}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, signer.Leaf, key.Public(), signer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{
		c.CertFile: {Type: "CERTIFICATE", Bytes: cert}, c.KeyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c.Pair, err = tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil { // Leaf is set
		t.Fatal(err)
	}
	return c
}
