package capture

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// dialTimeout bounds a connection attempt.
const dialTimeout = 2 * time.Second

// keepAlive finds a dead peer in about ten seconds, whether the gate is open or shut.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3}

// spoken is a connection that nats.go is given. What it says and hears goes over the connection that it was made of, or over TLS on
// top of that.
type spoken interface {
	net.Conn
	over(stream io.ReadWriter)
}

// dialer makes the connections of nats.go, which connects with one at a time.
type dialer struct {
	build    func(conn net.Conn, config *Config) spoken
	config   *Config
	security func() (*tls.Config, error)

	names map[string]bool // of the servers that the configuration names
	name  string          // of the server that was connected to last by its name
	conn  net.Conn        // the last
	last  spoken          // what was made of it
	host  string          // of it
}

func newDialer(config *Config, build func(net.Conn, *Config) spoken) *dialer {
	names := map[string]bool{}
	for server := range strings.SplitSeq(config.URLs, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		if u, err := url.Parse(server); err == nil {
			names[u.Hostname()] = true
		}
	}
	return &dialer{
		build: build, config: config, names: names,
		security: func() (*tls.Config, error) { return securityOf(config.Options) },
	}
}

// Dial is called by nats.go.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}).Dial(network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err == nil && net.ParseIP(host) == nil {
		d.name = host
	}
	d.conn, d.last, d.host = conn, d.build(conn, d.config), host
	return d.last, nil
}

// SkipTLSHandshake is how nats.go says that the connection that it has now is to be TLS from here on. Messages can be taken
// and commands added only where they are plain, so what we make comes on top of TLS, and nats.go leaves that to us. What goes wrong, the next read or write
// says.
func (d *dialer) SkipTLSHandshake() bool {
	config, err := d.security()
	if err != nil {
		d.last.over(broken{err})
		return true
	}
	if config.ServerName == "" {
		config.ServerName = d.host
		if net.ParseIP(d.host) != nil && !d.names[d.host] && d.name != "" {
			config.ServerName = d.name // another server of the cluster, which NATS told us of by its address
		}
	}
	d.last.over(tls.Client(d.conn, config))
	return true
}

// securityOf is the TLS configuration that options of nats.go make.
func securityOf(options []nats.Option) (*tls.Config, error) {
	all := nats.GetDefaultOptions()
	for _, option := range options {
		if err := option(&all); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if all.TLSConfig != nil {
		config = all.TLSConfig.Clone()
	}
	if all.TLSCertCB != nil {
		certificate, err := all.TLSCertCB()
		if err != nil {
			return nil, fmt.Errorf("the certificate for NATS: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if all.RootCAsCB != nil {
		roots, err := all.RootCAsCB()
		if err != nil {
			return nil, fmt.Errorf("the certificates that NATS's is checked against: %w", err)
		}
		config.RootCAs = roots
	}
	return config, nil
}

// broken is a stream that only fails.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error)  { return 0, b.err }
func (b broken) Write([]byte) (int, error) { return 0, b.err }
