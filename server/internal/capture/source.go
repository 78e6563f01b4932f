// Package capture turns what is published on NATS subjects into records. It owns every NATS connection of a broker and is
// the only room that subscribes.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/proto/batch"
)

// Sink takes captured records. The record is the sink's for the time of the call only. Several subjects of one stream
// call it at once.
type Sink interface {
	Capture(r *batch.Record) error
}

// Config of a Source.
type Config struct {
	URLs string // of NATS servers, separated by commas
	Name string // of the connection, as operators of NATS see it
	// MaxMessageBytes is the largest message that can be stored; a NATS that lets larger ones through is refused.
	MaxMessageBytes int64
	Logger          *slog.Logger
}

// noPings is longer than any connection lasts.
const noPings = 365 * 24 * time.Hour

// Source is a connection to NATS. It is safe for concurrent use.
type Source struct {
	conn   *nats.Conn
	gate   *gate
	closed chan struct{} // closed when nats.go is done with the connection
	logger *slog.Logger

	mu            sync.Mutex
	subscriptions []*nats.Subscription
}

// Connect connects to NATS. The connection comes back by itself whenever it breaks.
func Connect(ctx context.Context, config Config) (*Source, error) {
	s := &Source{closed: make(chan struct{}), logger: config.Logger}
	s.gate = newGate(s.pending)
	conn, err := nats.Connect(config.URLs,
		nats.Name(config.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(noPings), // their answers wait behind the gate; the dialer's keep-alive finds dead peers
		nats.SetCustomDialer(s.gate),
		nats.ErrorHandler(s.onError),
		nats.DisconnectErrHandler(s.onDisconnect),
		nats.ReconnectHandler(func(c *nats.Conn) { s.logger.Info("nats connection is back", "url", c.ConnectedUrlRedacted()) }),
		nats.ClosedHandler(func(*nats.Conn) { close(s.closed) }),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS at %s: %w; is a NATS server listening there?", config.URLs, err)
	}
	s.conn = conn
	if largest := conn.MaxPayload(); largest > config.MaxMessageBytes {
		s.Close()
		return nil, fmt.Errorf("the NATS server at %s lets messages of %d bytes through and the largest that can be stored has %d; lower its max_payload",
			config.URLs, largest, config.MaxMessageBytes)
	}
	return s, ctx.Err()
}

// pending is how many bytes were received and not captured yet.
func (s *Source) pending() int {
	s.mu.Lock()
	subscriptions := s.subscriptions
	s.mu.Unlock()
	total := 0
	for _, sub := range subscriptions {
		if _, bytes, err := sub.Pending(); err == nil {
			total += bytes
		}
	}
	return total
}

// onDisconnect is called without an error when we close the connection ourselves.
func (s *Source) onDisconnect(_ *nats.Conn, err error) {
	if err != nil {
		s.logger.Warn("nats connection lost", "error", err)
	}
}

func (s *Source) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if errors.Is(err, nats.ErrBadHeaderMsg) {
		s.logger.Warn("a message had headers that cannot be read; it is stored without them", "subject", subject)
		return
	}
	s.logger.Error("nats", "subject", subject, "error", err)
}

// confirmTimeout is how long NATS may take to confirm a subscription.
const confirmTimeout = 5 * time.Second

// Subscription is the capture of one stream.
type Subscription struct {
	source *Source
	subs   []*nats.Subscription
	done   sync.WaitGroup // one for each of subs, until its last message was captured
	lost   atomic.Int64   // messages that the sink refused
}

// Subscribe captures what is published on the subjects into the sink. When it returns, the NATS server has confirmed it:
// what is published from then on is captured.
func (s *Source) Subscribe(ctx context.Context, subjects []string, sink Sink) (*Subscription, error) {
	sub := &Subscription{source: s}
	for _, subject := range subjects {
		if err := sub.add(subject, sink); err != nil {
			return nil, errors.Join(fmt.Errorf("subscribing to %q: %w", subject, err), sub.Drain(ctx))
		}
	}
	confirm, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := s.conn.FlushWithContext(confirm); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribing: NATS did not confirm: %w", err), sub.Drain(ctx))
	}
	return sub, nil
}

func (sub *Subscription) add(subject string, sink Sink) error {
	s := sub.source
	var r recorder // used by the subscription's one goroutine
	n, err := s.conn.Subscribe(subject, func(msg *nats.Msg) {
		defer s.gate.done(msg.Size())
		if names.Reserved(msg.Subject) {
			return
		}
		if err := sink.Capture(r.of(msg)); err != nil {
			sub.refused(msg, err)
		}
	})
	if err != nil {
		return err
	}
	if err := n.SetPendingLimits(-1, -1); err != nil { // the gate bounds what is pending
		return errors.Join(err, n.Unsubscribe())
	}
	sub.done.Add(1)
	n.SetClosedHandler(func(string) { sub.done.Done() })
	sub.subs = append(sub.subs, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = append(slices.Clip(s.subscriptions), n)
	return nil
}

// refused counts a message that could not be stored, and tells of the first of them.
func (sub *Subscription) refused(msg *nats.Msg, err error) {
	if sub.lost.Add(1) == 1 {
		sub.source.logger.Error("messages are not stored", "subject", msg.Subject, "error", err)
	}
}

// Drain ends the capture: it unsubscribes, and returns when all that was received is captured.
func (sub *Subscription) Drain(ctx context.Context) error {
	var errs []error
	for _, n := range sub.subs {
		if err := n.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
			errs = append(errs, fmt.Errorf("draining %q: %w", n.Subject, err))
		}
	}
	drained := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() { sub.done.Wait(); close(drained) })
	select {
	case <-drained:
		waiter.Wait()
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("draining: %w", context.Cause(ctx)))
	}
	sub.source.forget(sub.subs)
	if n := sub.lost.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d messages were received and not stored", n))
	}
	return errors.Join(errs...)
}

// forget stops counting what is pending for ended subscriptions.
func (s *Source) forget(ended []*nats.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(slices.Clone(s.subscriptions), func(n *nats.Subscription) bool {
		return slices.Contains(ended, n)
	})
}

// ClientID is how the NATS server knows the connection.
func (s *Source) ClientID() (uint64, error) {
	id, err := s.conn.GetClientID()
	if err != nil {
		return 0, fmt.Errorf("asking NATS for the id of the connection: %w", err)
	}
	return id, nil
}

// Close closes the connection, whatever is still to come.
func (s *Source) Close() {
	s.gate.close()
	s.conn.Close()
	<-s.closed
}
