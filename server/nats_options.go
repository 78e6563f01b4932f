package server

import (
	"crypto/tls"

	"github.com/nats-io/nats.go"
)

// natsOptions are how a broker proves who it is at the NATS that the configuration names, and whom it believes there.
func (c *Config) natsOptions() []nats.Option {
	var options []nats.Option
	if c.NATSCreds != "" {
		options = append(options, nats.UserCredentials(c.NATSCreds))
	}
	if c.NATSTLS != (TLSFiles{}) {
		options = append(options, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	if c.NATSTLS.CA != "" {
		options = append(options, nats.RootCAs(c.NATSTLS.CA))
	}
	if c.NATSTLS.Cert != "" {
		options = append(options, nats.ClientCert(c.NATSTLS.Cert, c.NATSTLS.Key))
	}
	return options
}
