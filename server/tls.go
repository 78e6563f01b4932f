package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles are names of PEM files; empty: none.
type TLSFiles struct {
	CA   string // of those whose certificates are believed
	Cert string // chain of our own, with Key
	Key  string
}

// check reads the files. The prefix makes a flag of a file's name.
func (f *TLSFiles) check(prefix string) error {
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return fmt.Errorf("%scert and %skey belong together; give both or neither", prefix, prefix)
	case f.CA != "" && f.Cert == "" && prefix == "--tls-":
		return fmt.Errorf("--tls-ca says whose clients may connect over TLS, and there is no TLS; add --tls-cert and --tls-key")
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return fmt.Errorf("%scert %s with %skey %s: %w; both have to be PEM files that belong together", prefix, f.Cert, prefix, f.Key, err)
		}
	}
	if f.CA != "" {
		if _, err := readCA(f.CA); err != nil {
			return fmt.Errorf("%sca: %w", prefix, err)
		}
	}
	return nil
}

func readCA(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in it; it has to be a PEM file", name)
	}
	return pool, nil
}

// serverConfig is what a port is served with; nil: in the clear. protocols are what is spoken over it. Clients have to show
// a certificate of the CA, or with optional may.
func (f *TLSFiles) serverConfig(logger *slog.Logger, optional bool, protocols ...string) (*tls.Config, error) {
	if f.Cert == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	pair := &keyPair{files: *f, logger: logger}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetCertificate: pair.get}
	if f.CA == "" {
		return config, nil
	}
	pool, err := readCA(f.CA)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	if optional {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// keyPair is a certificate that is read again when its file changes: certificates are renewed while brokers run.
type keyPair struct {
	files  TLSFiles
	logger *slog.Logger

	mu      sync.Mutex
	read    *tls.Certificate // guarded by mu, as what follows
	changed time.Time        // of the file that was read, or that could not be
}

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	file, err := os.Stat(p.files.Cert)
	if err == nil && p.read != nil && file.ModTime().Equal(p.changed) {
		return p.read, nil
	}
	var pair tls.Certificate
	if err == nil {
		p.changed = file.ModTime()
		pair, err = tls.LoadX509KeyPair(p.files.Cert, p.files.Key)
	}
	switch {
	case err == nil:
		p.read = &pair
	case p.read == nil:
		return nil, fmt.Errorf("--tls-cert: %w", err)
	default:
		p.logger.Error("the certificate cannot be read again; the one before is used", "file", p.files.Cert, "error", err)
	}
	return p.read, nil
}
