package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

// systemCAs is what --tls-ca names instead of a file.
const systemCAs = "system"

// tlsFlags are --tls-ca, --tls-cert and --tls-key of those who talk to a server. With none of them it is in the clear.
type tlsFlags struct {
	ca, cert, key string
}

func (f *tlsFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.ca, "tls-ca", "", "talk TLS, with servers whose certificates those in `FILE` have signed, or "+systemCAs)
	flags.StringVar(&f.cert, "tls-cert", "", "show the certificate in `FILE` to servers that ask for one")
	flags.StringVar(&f.key, "tls-key", "", "its key is in `FILE`")
}

// options are what the flags say about the connection.
func (f *tlsFlags) options(cmd *cobra.Command) ([]client.Option, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, argumentMisuse(cmd, "--tls-cert and --tls-key belong together")
	}
	if f.ca == "" && f.cert == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" && f.ca != systemCAs {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w; name a file with certificates in PEM", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--tls-ca %s: it has no certificate in PEM; name a file that has", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w; name files with a certificate and its key in PEM", f.cert, f.key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return []client.Option{client.WithTLS(cfg)}, nil
}
