package main

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
)

const (
	defaultAddress = "127.0.0.1:9292"
	addressEnv     = "TRESTLE_ADDR"
	// callTime bounds a call that a server answers at once, connecting included.
	callTime = 15 * time.Second
)

// addressFlag is --addr: the servers to talk to.
type addressFlag struct {
	inv  *invocation
	text string
	tls  tlsFlags
}

func addAddressFlag(inv *invocation, cmd *cobra.Command) *addressFlag {
	f := &addressFlag{inv: inv}
	cmd.Flags().Var(f, "addr", "talk to the server at `HOST:PORT,...` (env "+addressEnv+", default "+defaultAddress+")")
	f.tls.addTo(cmd)
	f.completesStreams(cmd)
	return f
}

func (f *addressFlag) Set(text string) error {
	for address := range strings.SplitSeq(text, ",") {
		host, port, err := net.SplitHostPort(address)
		if number, cause := strconv.ParseUint(port, 10, 16); err != nil || host == "" || cause != nil || number == 0 {
			return &misuse{message: "not an address", remedy: "write HOST:PORT, such as " + defaultAddress + ", several with commas"}
		}
	}
	f.text = text
	return nil
}

func (f *addressFlag) String() string { return "" }
func (f *addressFlag) Type() string   { return "HOST:PORT,..." }

// connect connects to the servers of the flag, else of the environment, else to a server on this machine.
func (f *addressFlag) connect(ctx context.Context, cmd *cobra.Command, more ...client.Option) (*client.Client, error) {
	if value, ok := f.inv.lookupEnv(addressEnv); ok && f.text == "" {
		if err := f.Set(value); err != nil {
			return nil, valueMisuse(cmd, addressEnv, value, err)
		}
	}
	if f.text == "" {
		f.text = defaultAddress
	}
	security, err := f.tls.options(cmd)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return client.Connect(ctx, f.text, append(security, more...)...)
}

// call connects, has f make calls that a server answers at once, and disconnects.
func (f *addressFlag) call(cmd *cobra.Command, calls func(ctx context.Context, c *client.Client) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), callTime)
	defer cancel()
	c, err := f.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer closeQuietly(c)
	return calls(ctx, c)
}

// closeQuietly closes a client whose calls have all been judged by their own errors.
func closeQuietly(c *client.Client) { _ = c.Close() }
