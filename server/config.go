package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
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
	NATSListen string   // of the embedded NATS
	NATSURLs   []string // use this NATS and embed none
	Insecure   bool     // listen beyond loopback in the clear
	Version    string
	Logger     *slog.Logger
}

// DefaultConfig is a broker on loopback with an embedded NATS.
func DefaultConfig() Config {
	return Config{
		DataDir:    "./trestle-data",
		Cluster:    "trestle",
		Listen:     "127.0.0.1:9292",
		HTTPListen: "127.0.0.1:9293",
		PeerListen: "127.0.0.1:9294",
		NATSListen: "127.0.0.1:4222",
		Version:    "dev",
		Logger:     slog.Default(),
	}
}

// Validate says what cannot be as it is, and what to do about it.
func (c *Config) Validate() error {
	if c.DataDir == "" {
		return fmt.Errorf("the data folder is empty; name one with --data-dir")
	}
	if err := names.Stream(c.Cluster); err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	if c.ID != "" {
		if err := names.Stream(c.ID); err != nil {
			return fmt.Errorf("--id: %w", err)
		}
	}
	for _, l := range []struct{ flag, address string }{
		{"--listen", c.Listen}, {"--http", c.HTTPListen}, {"--peer", c.PeerListen}, {"--nats-listen", c.NATSListen},
	} {
		if err := c.checkListen(l.flag, l.address); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkListen(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q is not HOST:PORT: %w", flag, address, err)
	}
	if c.Insecure || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("%s %s is beyond loopback and there is no TLS yet; listen on 127.0.0.1, or add --insecure if the network is yours alone", flag, address)
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
