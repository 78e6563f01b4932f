package client

import (
	"context"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Client is a connection to a server. It is safe for concurrent use.
type Client struct {
	conn    *grpc.ClientConn
	streams trestlev1.StreamServiceClient
	cursors trestlev1.CursorServiceClient

	calls sync.WaitGroup // those under way; Add under mu and while not closed
	close func() error   // disconnects; repeated, it returns what it returned first

	closing chan struct{} // closed by Close

	standing context.Context // of the streams of relays, and of who watches the connection
	hangUp   context.CancelFunc
	relays   sync.WaitGroup // goroutines of relays
	watching sync.WaitGroup // the goroutine of OnConnection
	single   *relay         // for those who wait for each batch
	numbered *relay         // for producers

	mu            sync.Mutex
	closed        bool
	subscriptions map[*Subscription]struct{} // those that have goroutines
}

// Connect connects to the first of the addresses that answers: "host:9292,host2:9292". When that connection breaks, the
// client connects again by itself, to the first that answers then. The context bounds the call only.
func Connect(ctx context.Context, addrs string, opts ...Option) (*Client, error) {
	var settings connecting
	for _, opt := range opts {
		opt(&settings)
	}
	addresses, err := splitAddresses(addrs)
	if err != nil {
		return nil, err
	}
	d := &dialer{security: settings.tls, failures: map[string]error{}}
	conn, err := grpc.NewClient(scheme+":///"+addresses[0], dialOptions(addresses, d, &settings)...)
	if err != nil {
		return nil, newError(reasonInvalidArgument, "connect to %s: %v", addrs, err).because(err)
	}
	c := &Client{
		conn:          conn,
		streams:       trestlev1.NewStreamServiceClient(conn),
		cursors:       trestlev1.NewCursorServiceClient(conn),
		close:         sync.OnceValue(conn.Close),
		closing:       make(chan struct{}),
		subscriptions: map[*Subscription]struct{}{},
	}
	c.standing, c.hangUp = context.WithCancel(context.Background())
	c.single, c.numbered = newRelay(c, false), newRelay(c, true)
	// A call is what tells a trestle server from whatever else may listen there; this is the lightest there is.
	if _, err := c.streams.ListStreams(ctx, &trestlev1.ListStreamsRequest{PageSize: 1}); err != nil {
		c.hangUp()
		_ = c.close() // the connection that could not be made says no more
		return nil, d.connectError(addresses, err)
	}
	if settings.onConnection != nil {
		c.watching.Go(func() { c.watchConnection(settings.onConnection) })
	}
	return c, nil
}

// isClosed says whether Close was called.
func (c *Client) isClosed() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// Close ends all subscriptions, waits for the calls under way, and disconnects. What producers were given before is sent,
// but not again when that fails.
func (c *Client) Close() error {
	for _, b := range c.shut() {
		b.end(newError(reasonClosed, "subscription to stream %q: the client is closed", b.stream.name))
		<-b.done
	}
	c.calls.Wait()
	c.hangUp()
	c.relays.Wait()
	c.watching.Wait()
	return c.close()
}

// shut keeps new calls and subscriptions out, and returns the subscriptions there are.
func (c *Client) shut() []*Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	return slices.Collect(maps.Keys(c.subscriptions))
}

// begin counts a call in; end counts it out.
func (c *Client) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClientClosed()
	}
	c.calls.Add(1)
	return nil
}

func (c *Client) end() { c.calls.Done() }

// keep makes Close end the subscription, until it is forgotten.
func (c *Client) keep(b *Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClientClosed()
	}
	c.subscriptions[b] = struct{}{}
	return nil
}

func (c *Client) forget(b *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subscriptions, b)
}

func errClientClosed() error { return newError(reasonClosed, "the client is closed") }
