package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/proto/codec"
)

const (
	// maxReceiveBytes lets in the largest message that servers of any version may take, 64 MiB, and what is around it. How much those
	// of today take, Client.Server says.
	maxReceiveBytes = 80 << 20
	// streamWindowBytes is how much a server may send ahead of what a subscription reads, for each partition.
	streamWindowBytes = 1 << 20
	connWindowBytes   = 4 << 20
	ioBufferBytes     = 128 << 10
)

func dialOptions(addresses []string, d *dialer, settings *connecting) []grpc.DialOption {
	security, resolved := insecure.NewCredentials(), addressList{addresses: addresses}
	if settings.tls != nil {
		security = credentials.NewTLS(settings.tls)
		resolved.serverName = settings.tls.ServerName
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithContextDialer(d.dial),
		grpc.WithResolvers(resolved),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A peer that has died without a word is noticed after the two together.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithInitialWindowSize(streamWindowBytes),
		grpc.WithInitialConnWindowSize(connWindowBytes),
		// A system call is for more than the 32 KiB of the default; a connection that is silent keeps neither buffer.
		grpc.WithReadBufferSize(ioBufferBytes), grpc.WithWriteBufferSize(ioBufferBytes),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New()), grpc.MaxCallRecvMsgSize(maxReceiveBytes)),
	}
}

func splitAddresses(addrs string) ([]string, error) {
	var list []string
	for _, address := range strings.Split(addrs, ",") {
		address = strings.TrimSpace(address)
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, newError(reasonInvalidArgument, "address %q: write host:port, several with commas: localhost:9292,other:9292", address)
		}
		list = append(list, address)
	}
	return list, nil
}

// addressList is a gRPC resolver that resolves to the addresses in their order, whatever it is asked.
type addressList struct {
	addresses []string
	// serverName is what certificates are checked against; empty: each server's against its own address.
	serverName string
}

// scheme of the targets that an addressList resolves.
const scheme = "trestle"

func (l addressList) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var state resolver.State
	for _, address := range l.addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address, ServerName: cmp.Or(l.serverName, address)})
	}
	return l, conn.UpdateState(state)
}

func (l addressList) Scheme() string                        { return scheme }
func (l addressList) ResolveNow(resolver.ResolveNowOptions) {}
func (l addressList) Close()                                {}

// dialer dials, and remembers for each address why it could not: gRPC tells about the last one only.
type dialer struct {
	net.Dialer

	security *tls.Config // nil: in the clear

	mu       sync.Mutex
	failures map[string]error // by address; the last try
}

func (d *dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, "tcp", address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures[address] = err
	return conn, err
}

// connectError says why none of the addresses answered a first call, or what one answered.
func (d *dialer) connectError(addresses []string, err error) error {
	doing := "connect to " + strings.Join(addresses, ",")
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		fromGRPC := status.Convert(err).Message()
		reasons := strings.Join(d.reasons(addresses, fromGRPC), "; ")
		return newError(reasonUnavailable, "connect to %s; %s", reasons, remedyOfFirst(fromGRPC, d.security)).because(callError(doing, err))
	case codes.Unimplemented:
		return newError(reasonUnavailable, "%s: what listens there is not a trestle server; set TRESTLE_ADDR to where one does", doing).because(err)
	default:
		return callError(doing, err)
	}
}

// reasons are why each address did not answer. One that could be dialed is told what gRPC says.
func (d *dialer) reasons(addresses []string, fromGRPC string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var reasons []string
	for _, address := range addresses {
		if err := d.failures[address]; err != nil {
			reasons = append(reasons, fmt.Sprintf("%s: %v", address, err))
		} else {
			reasons = append(reasons, fmt.Sprintf("%s: %s", address, fromGRPC))
		}
	}
	return reasons
}
