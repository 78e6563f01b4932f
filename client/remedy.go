package client

import (
	"crypto/tls"
	"strings"
)

const (
	remedyUnavailable = "is a trestle server listening there? start one with `trestle server` or set TRESTLE_ADDR"
	remedyInTheClear  = "what listens there talks in the clear: leave out --tls-ca and --tls-cert, or WithTLS in Go"
	remedyServerName  = "connect to a name or an address that the certificate is for"
	remedyExpired     = "give the server a certificate that is valid now, and see that the clocks are right"
	remedyCA          = "name the CA that has signed the server's certificate with --tls-ca, or as RootCAs of WithTLS in Go"
	remedyNotGRPC     = "what listens there does not talk gRPC; a trestle server does on port 9292 unless told otherwise"
	remedyOwn         = "the server wants a certificate that its CA has signed: give --tls-cert and --tls-key, or Certificates of WithTLS in Go"
	remedyPerhapsOwn  = "if the server wants a certificate that its CA has signed, give --tls-cert and --tls-key, or Certificates of WithTLS in Go"
	remedyPerhapsTLS  = "if the server talks TLS, give --tls-ca, or WithTLS in Go"
)

// handshakeRemedies are by what gRPC says of a connection: it gives a text and no error. The first that is in it holds.
var handshakeRemedies = []struct{ text, remedy string }{
	{"does not look like a TLS handshake", remedyInTheClear},
	{"certificate is valid for", remedyServerName},
	{"certificate is not valid for any names", remedyServerName},
	{"because it doesn't contain any IP SANs", remedyServerName},
	{"certificate has expired or is not yet valid", remedyExpired},
	{"certificate signed by unknown authority", remedyCA},
	{"failed to verify certificate", remedyCA},
	{"tls: no application protocol", remedyNotGRPC},
	{"missing selected ALPN property", remedyNotGRPC},
	{"frame too large", remedyNotGRPC},
	{"remote error: tls: ", remedyOwn},
}

// remedyOf says what to do about a connection that failed as gRPC says.
func remedyOf(fromGRPC string) string {
	for _, known := range handshakeRemedies {
		if strings.Contains(fromGRPC, known.text) {
			return known.remedy
		}
	}
	return remedyUnavailable
}

// remedyOfFirst is remedyOf for a first connection, which was made with those settings of TLS, nil: in the clear. What hangs up
// on it may be a server that has the other settings: then it says no more.
func remedyOfFirst(fromGRPC string, security *tls.Config) string {
	remedy := remedyOf(fromGRPC)
	if remedy != remedyUnavailable || !hungUp(fromGRPC) {
		return remedy
	}
	if security == nil {
		return remedyPerhapsTLS + "; " + remedy
	}
	return remedyPerhapsOwn + "; " + remedy
}

// hungUp says whether the other side took the connection and ended it before it said anything. What of its end is noticed, and by
// reading or by writing, is chance.
func hungUp(fromGRPC string) bool {
	for _, text := range []string{"error reading server preface: ", "connection reset by peer", "broken pipe", "EOF"} {
		if strings.Contains(fromGRPC, text) {
			return true
		}
	}
	return false
}
