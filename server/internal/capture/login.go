package capture

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// WithoutLogin is a list of URLs, separated by commas, without the users and passwords in them: for those who may not know.
func WithoutLogin(urls string) string {
	var shown []string
	for text := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil && u.User != nil {
			u.User = nil
			text = u.String()
		}
		shown = append(shown, text)
	}
	return strings.Join(shown, ",")
}

// remedy is what to do when NATS cannot be connected to for that reason.
func remedy(err error) string {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return "log in with what NATS takes: a user and a password in the URL of --nats, or a file with --nats-creds"
	case strings.Contains(err.Error(), "tls: "): // what the other side complains of has no type
		return "name the CA that has signed its certificate with --nats-tls-ca, and where it wants one of yours, that with --nats-tls-cert and --nats-tls-key"
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) { // before it was heard why
		return "it broke the connection off: check the login in --nats or --nats-creds, and with TLS what --nats-tls-cert and --nats-tls-ca name"
	}
	var op *net.OpError
	if errors.Is(err, nats.ErrNoInfoReceived) || errors.As(err, &op) && op.Op == "read" && op.Timeout() {
		return "it does not answer as a NATS server does: give --nats the port for NATS clients, 4222 unless told otherwise"
	}
	return "is a NATS server listening there?"
}
