package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/trestlehq/trestle/metadata/names"
)

// Config of a broker. The zero value of a field is not its default: begin with DefaultConfig.
type Config struct {
	DataDir    string
	ID         string // name of the broker; empty: that of the data folder, or of the host
	Cluster    string
	Listen     string // HOST:PORT of gRPC
	HTTPListen string
	PeerListen string
	// Advertise is the HOST:PORT at which clients reach gRPC; empty: Listen, with the host's name where that is every address.
	Advertise  string
	NATSListen string   // of the embedded NATS
	NATSURLs   []string // use this NATS and embed none
	NATSCreds  string   // file of credentials for NATSURLs; empty: none
	// NATSTLS says whom to trust at NATSURLs, and who we are there.
	NATSTLS TLSFiles
	// TLS is what gRPC and HTTP are served with; empty: in the clear. With a CA, clients have to show a certificate.
	TLS      TLSFiles
	Insecure bool // listen beyond loopback in the clear
	// CaptureBytes is how much of what came from NATS may wait to be stored, in all partitions together; at least 1 MiB.
	CaptureBytes int64
	Version      string
	Logger       *slog.Logger
}

// minCaptureBytes holds a few messages of every publisher; with less each would wait for the disk.
const minCaptureBytes = 1 << 20

// DefaultConfig is a broker on loopback with an embedded NATS.
func DefaultConfig() Config {
	return Config{
		DataDir:      "./trestle-data",
		Cluster:      "trestle",
		Listen:       "127.0.0.1:9292",
		HTTPListen:   "127.0.0.1:9293",
		PeerListen:   "127.0.0.1:9294",
		NATSListen:   "127.0.0.1:4222",
		CaptureBytes: 256 << 20,
		Version:      "dev",
		Logger:       slog.Default(),
	}
}

// Validate says what cannot be as it is, and what to do about it.
func (c *Config) Validate() error {
	if c.DataDir == "" {
		return fmt.Errorf("the data folder is empty; name one with --data-dir")
	}
	if err := names.Stream(c.Cluster); err != nil {
		return &nameError{flag: "--cluster", cause: err}
	}
	if c.ID != "" {
		if err := names.Stream(c.ID); err != nil {
			return &nameError{flag: "--id", cause: err}
		}
	}
	if c.CaptureBytes < minCaptureBytes {
		return fmt.Errorf("--capture-bytes %d is less than a burst of messages; give 1MiB or more, 256MiB is the default", c.CaptureBytes)
	}
	for _, check := range []func() error{c.checkPorts, c.checkAdvertise, c.checkNATS, func() error { return c.TLS.check("--tls-") }} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// nameError is about the name that a flag gives, which is that of no stream.
type nameError struct {
	flag  string
	cause error
}

func (e *nameError) Error() string {
	if refusal, ok := errors.AsType[*names.Error](e.cause); ok {
		return fmt.Sprintf("%s %q %s; %s", e.flag, refusal.Name, refusal.Problem, refusal.Remedy)
	}
	return e.flag + ": " + e.cause.Error()
}

func (e *nameError) Unwrap() error { return e.cause }

// checkPorts refuses to listen beyond loopback in the clear. TLS is for gRPC and HTTP; the other two ports have none yet.
func (c *Config) checkPorts() error {
	for _, l := range []struct {
		flag, address, protection string // protection: what would make it safe; empty: in use
	}{
		{"--listen", c.Listen, c.lacksTLS()},
		{"--http", c.HTTPListen, c.lacksTLS()},
		{"--peer", c.PeerListen, "and this port has no TLS yet"},
		{"--nats-listen", c.NATSListen, "and this port has no TLS yet"},
	} {
		host, _, err := net.SplitHostPort(l.address)
		if err != nil {
			return fmt.Errorf("%s %q is not HOST:PORT: %w; write one such as 127.0.0.1:9292", l.flag, l.address, err)
		}
		unused := l.flag == "--nats-listen" && len(c.NATSURLs) > 0
		if c.Insecure || l.protection == "" || unused || isLoopback(host) {
			continue
		}
		return fmt.Errorf("%s %s is beyond loopback %s; listen on 127.0.0.1, or add --insecure if the network is yours alone",
			l.flag, l.address, l.protection)
	}
	return nil
}

func (c *Config) lacksTLS() string {
	if c.TLS.Cert != "" {
		return ""
	}
	return "and in the clear: give --tls-cert and --tls-key"
}

func (c *Config) checkAdvertise() error {
	if c.Advertise == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Advertise)
	if n, cause := strconv.ParseUint(port, 10, 16); err != nil || cause != nil || n == 0 || isEvery(host) {
		return fmt.Errorf("--advertise %q is no address that a client can connect to; write HOST:PORT, such as trestle-0.example:9292", c.Advertise)
	}
	return nil
}

// checkNATS refuses what is said of a NATS that is not used, and URLs that are none.
func (c *Config) checkNATS() error {
	if len(c.NATSURLs) == 0 {
		for flag, value := range map[string]string{
			"--nats-creds": c.NATSCreds, "--nats-tls-ca": c.NATSTLS.CA, "--nats-tls-cert": c.NATSTLS.Cert, "--nats-tls-key": c.NATSTLS.Key,
		} {
			if value != "" {
				return fmt.Errorf("%s is about a NATS that runs elsewhere, and none is named; add --nats URL, or leave it out", flag)
			}
		}
	}
	for _, address := range c.NATSURLs {
		u, err := url.Parse(address)
		if err == nil && slices.Contains([]string{"ws", "wss"}, u.Scheme) {
			return fmt.Errorf("--nats %q is a WebSocket, from which nothing is captured; give the port for NATS clients, nats://HOST:PORT or tls://HOST:PORT", address)
		}
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls"}, u.Scheme) {
			return fmt.Errorf("--nats %q is not the URL of a NATS server; write nats://HOST:PORT", address)
		}
	}
	if c.NATSCreds != "" {
		if _, err := os.Stat(c.NATSCreds); err != nil {
			return fmt.Errorf("--nats-creds: %w; name the file that NATS gave you", err)
		}
	}
	return c.NATSTLS.check("--nats-tls-")
}

// advertised is where clients reach what listens on address.
func (c *Config) advertised(address string) string {
	if c.Advertise != "" {
		return c.Advertise
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isEvery(host) {
		return address
	}
	if host, err = os.Hostname(); err != nil {
		return address
	}
	return net.JoinHostPort(host, port)
}

// isEvery says whether a host to listen on stands for every address of the machine.
func isEvery(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// hostID is the name of a broker that was given none: that of the host, as far as the rules of names allow.
func hostID() string {
	host, err := os.Hostname()
	if err != nil {
		return "broker"
	}
	id := strings.Map(func(r rune) rune {
		if names.Stream("a"+string(r)) == nil {
			return r
		}
		return '-'
	}, host)
	if names.Stream(id) != nil {
		return "broker"
	}
	return id
}
