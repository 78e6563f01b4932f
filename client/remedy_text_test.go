package client

import (
	"crypto/tls"
	"testing"
)

// TestRemediesByText: what gRPC says is one of two things where a server hangs up, by chance, so texts are also held one by one.
func TestRemediesByText(t *testing.T) {
	t.Parallel()
	secured := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, test := range []struct {
		text     string
		security *tls.Config
		want     string
	}{
		{`error reading server preface: remote error: tls: certificate required`, secured, remedyOwn},
		{`error reading server preface: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer`, secured, remedyPerhapsOwn + "; " + remedyUnavailable},
		{`error reading server preface: EOF`, nil, remedyPerhapsTLS + "; " + remedyUnavailable},
		{`authentication handshake failed: tls: failed to verify certificate: x509: certificate is valid for 127.0.0.1, not 10.0.0.1`, secured, remedyServerName},
		{`tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs`, secured, remedyServerName},
		{`tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time`, secured, remedyExpired},
		{`tls: failed to verify certificate: x509: "trestle" certificate is not trusted`, secured, remedyCA},
		{`error reading server preface: http2: frame too large, note that the frame header looked like an HTTP/1.1 header`, nil, remedyNotGRPC},
		{`transport: authentication handshake failed: credentials: cannot check peer: missing selected ALPN property`, secured, remedyNotGRPC},
		{`dial tcp 127.0.0.1:9292: connect: connection refused`, secured, remedyUnavailable},
		{`context deadline exceeded`, nil, remedyUnavailable},
	} {
		if got := remedyOfFirst(test.text, test.security); got != test.want {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}
