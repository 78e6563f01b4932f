// Package capture turns what is published on NATS subjects into records. It owns every NATS connection of a broker and is
// the only room that subscribes.
package capture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// Config of a Source.
type Config struct {
	URLs string // of NATS servers, separated by commas
	Name string // of the connections, as operators of NATS see them
	// Options are those for credentials and TLS.
	Options []nats.Option
	// MaxMessageBytes is the largest message that can be stored; a NATS that lets larger ones through is refused.
	MaxMessageBytes int64
	// DropsReaders says that the NATS cuts off a reader that is slow, instead of slowing down its publishers as the embedded
	// one does. Then more is held here, and beyond that messages become gaps.
	DropsReaders bool
	// QueuedBytes is how much may wait in all partitions together until it is stored, about: beyond it nothing is read from
	// NATS, or, with DropsReaders, messages become gaps; 0: DefaultQueuedBytes.
	QueuedBytes int
	// Audience is that of the NATS at URLs, if it runs in this process; nil: it does not.
	Audience Audience
	Logger   *slog.Logger
}

// DefaultQueuedBytes is what may wait in all partitions together.
const DefaultQueuedBytes = 256 << 20

const (
	// noPings is longer than any connection lasts.
	noPings = 365 * 24 * time.Hour
	// reconnectWait is how long it takes until a connection is tried again.
	reconnectWait = 250 * time.Millisecond
	// confirmTimeout is how long NATS may take to confirm a subscription.
	confirmTimeout = 5 * time.Second
)

// Source is a broker's connections to NATS: one that captures, one that answers. It is safe for concurrent use.
type Source struct {
	config     Config
	conn       *nats.Conn
	outgoing   *nats.Conn
	wire       atomic.Pointer[wire] // of outgoing
	dispatcher *dispatcher
	answers    *outbox
	recorder   recorder // the dispatcher's
	counters   counters
	outage     outage
	audience   audience
	logins     loginLog
	never      chan *nats.Msg // what nats.go would hand on: nothing comes to it
	back       chan struct{}  // the connection may be back
	closed     chan struct{}  // closed when nats.go is done with conn
	client     atomic.Uint64  // how NATS knew the connection that captures when all was subscribed to there last

	cancel context.CancelFunc // ends watch
	tasks  sync.WaitGroup
	ends   sync.WaitGroup // outgoing, until nats.go is done with it

	mu      sync.Mutex
	streams map[uuid.UUID]*streamRoutes
}

// Connect connects to NATS. The connections come back by themselves whenever they break.
func Connect(ctx context.Context, config Config) (*Source, error) {
	if config.DropsReaders {
		return connect(ctx, config, dropping)
	}
	return connect(ctx, config, slowing)
}

func connect(ctx context.Context, config Config, limits backpressure) (*Source, error) {
	s := &Source{
		config: config, dispatcher: newDispatcher(limits, cmp.Or(config.QueuedBytes, DefaultQueuedBytes)),
		never: make(chan *nats.Msg), back: make(chan struct{}, 1), closed: make(chan struct{}), cancel: func() {},
		logins: loginLog{logger: config.Logger, now: time.Now}, streams: map[uuid.UUID]*streamRoutes{},
	}
	s.dispatcher.gate.onEnd = s.outage.begin
	conn, err := s.dial(config.Name, []nats.Option{
		nats.PingInterval(noPings), // their answers wait behind the gate; watch asks for a sign of life
		nats.SetCustomDialer(newDialer(&config, s.dispatcher.tap)),
		nats.ErrorHandler(s.onError),
		nats.DisconnectErrHandler(s.onDisconnect),
		nats.ReconnectHandler(s.onReconnect),
		nats.ClosedHandler(func(*nats.Conn) { close(s.closed) }),
	})
	if err != nil {
		return nil, err
	}
	s.conn = conn
	_, times, _ := s.outage.gap(0)
	id, _ := conn.GetClientID() // 0 is nobody
	s.client.Store(id)
	s.outage.end(times)
	if err := s.begin(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) dial(name string, options []nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // who is refused now may be known again later
		nats.SkipHostLookup(),       // the dialer looks up, and has use for the name
	}, options...)
	conn, err := nats.Connect(s.config.URLs, append(all, s.config.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS at %s: %w; %s", WithoutLogin(s.config.URLs), err, remedy(err))
	}
	return conn, nil
}

// begin checks the NATS, makes the connection that answers, and starts what runs as long as the source.
func (s *Source) begin(ctx context.Context) (err error) {
	if err := s.checkPayload(s.conn); err != nil {
		return err
	}
	s.ends.Add(1)
	s.outgoing, err = s.dial(s.config.Name+" answers", []nats.Option{
		nats.SetCustomDialer(newDialer(&s.config, s.newWire)),
		nats.ErrorHandler(s.onError), nats.ClosedHandler(func(*nats.Conn) { s.ends.Done() }),
	})
	if err != nil {
		s.ends.Done()
		return err
	}
	s.answers = newOutbox(s, &s.counters.acksDropped)
	go s.answers.run() // until close waits for it
	s.dispatcher.running.Go(s.dispatcher.run)
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.tasks.Go(func() { s.watch(watching) })
	return ctx.Err()
}

// checkPayload refuses a NATS that lets through what cannot be stored.
func (s *Source) checkPayload(c *nats.Conn) error {
	if largest := c.MaxPayload(); largest > s.config.MaxMessageBytes {
		return fmt.Errorf("the NATS server at %s lets messages of %d bytes through and the largest that can be stored has %d; lower its max_payload",
			c.ConnectedUrlRedacted(), largest, s.config.MaxMessageBytes)
	}
	return nil
}

// onDisconnect is called when we close the connection ourselves, too.
func (s *Source) onDisconnect(c *nats.Conn, err error) {
	if !c.IsClosed() {
		s.counters.disconnects.Add(1)
		s.config.Logger.Warn("nats connection lost", "error", err)
	}
}

func (s *Source) onReconnect(c *nats.Conn) {
	s.logins.accept()
	s.config.Logger.Info("nats connection is back", "url", c.ConnectedUrlRedacted())
	if err := s.checkPayload(c); err != nil {
		s.config.Logger.Error("each such message breaks the connection and leaves a gap", "error", err)
	}
	select {
	case s.back <- struct{}{}:
	default:
	}
}

func (s *Source) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if isRefusedLogin(err) {
		s.logins.refuse(err)
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	s.config.Logger.Error("nats", "subject", subject, "error", err)
}

// pending is how many bytes were received and not captured yet.
func (s *Source) pending() int { return s.dispatcher.pending() }

func (s *Source) allRoutes() []*route {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*route
	for _, stream := range s.streams {
		all = append(all, stream.routes...)
	}
	return all
}

// Publish publishes a plain message. It fails while NATS is away.
func (s *Source) Publish(subject string, payload []byte) error {
	return s.outgoing.Publish(subject, payload)
}

// Send sends commands that publish, whole ones: it is how answers and fan-out go out (protocol.md 2.15). It fails while NATS is away.
func (s *Source) Send(commands []byte) error {
	w := s.wire.Load()
	if w == nil || bytes.HasPrefix(commands, []byte("HPUB")) && !s.outgoing.HeadersSupported() {
		return errAway // a NATS without headers, which is older than any that is kept up, would end the connection
	}
	return w.send(commands)
}

// MaxPayload is how many bytes the header and the value of a message may have together.
func (s *Source) MaxPayload() int { return int(s.outgoing.MaxPayload()) }

// ClientIDs are how the NATS server knows the connections.
func (s *Source) ClientIDs() ([]uint64, error) {
	var ids []uint64
	for _, conn := range []*nats.Conn{s.conn, s.outgoing} {
		id, err := conn.GetClientID()
		if err != nil {
			return nil, fmt.Errorf("asking NATS for the id of the connection: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Close sends the answers that wait and closes the connections, whatever is still to come.
func (s *Source) Close() {
	s.cancel()
	s.tasks.Wait()
	if s.answers != nil {
		s.answers.close()
		if s.outgoing.IsConnected() {
			_ = s.outgoing.FlushTimeout(signTimeout) // answers that are lost are unknown outcomes
		}
		s.outgoing.Close()
	}
	s.ends.Wait()
	s.dispatcher.gate.close()
	s.conn.Close()
	<-s.closed
	s.dispatcher.stop()
}
