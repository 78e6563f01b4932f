package client

import "crypto/tls"

// Option of Connect.
type Option func(*connecting)

// connecting is what the options of Connect set.
type connecting struct {
	tls          *tls.Config
	onConnection func(connected bool) // may be nil
}

// WithTLS connects by TLS. Without it connections are in the clear.
func WithTLS(cfg *tls.Config) Option {
	return func(c *connecting) { c.tls = cfg.Clone() }
}
