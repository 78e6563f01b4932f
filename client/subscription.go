package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// Subscription reads a stream: the messages of each partition in order, those of several as they come. It connects
// again and goes on where it was when a connection breaks; what cannot be mended ends it with an error.
//
// Next, Messages and Batches are for one goroutine at a time and may be mixed. Stop and Drain are for any goroutine.
type Subscription struct {
	stream *Stream
	onGap  func(partition int, g Gap) // may be nil

	// arrivals is closed when all readers have ended. It has no buffer: what is held for the one who reads is what the
	// readers hold, a response each.
	arrivals chan arrival
	ended    chan struct{} // closed by end, after which nothing is handed out
	done     chan struct{} // closed when all goroutines have ended

	// stopReceiving ends the readers' calls. They still hand over what they have received.
	stopReceiving context.CancelFunc

	endOnce sync.Once
	cause   error  // why it ended; set before ended is closed
	stopped *Error // the cause that Stop gives; the loops that it ends need not be told

	// Of the goroutine that calls Next, Messages and Batches.
	run []Message // received last
	at  int       // how much of it has been handed out
}

// arrival is what a reader hands over: a run of messages of one partition, a gap, or the error that ended the reader.
type arrival struct {
	messages  []Message
	partition int
	gap       *Gap
	err       error
}

// newSubscription is a subscription whose readers receive until stopReceiving is called.
func newSubscription(s *Stream, onGap func(int, Gap), stopReceiving context.CancelFunc) *Subscription {
	return &Subscription{
		stream:        s,
		onGap:         onGap,
		arrivals:      make(chan arrival),
		ended:         make(chan struct{}),
		done:          make(chan struct{}),
		stopReceiving: stopReceiving,
		stopped:       newError(reasonClosed, "subscription to stream %q: it was stopped", s.name),
	}
}

// start starts the readers and what waits for them.
func (b *Subscription) start(ctx context.Context, readers []*reader, opened chan<- error) {
	var reading sync.WaitGroup
	for _, r := range readers {
		reading.Go(func() { r.read(ctx, opened) })
	}
	go func() {
		reading.Wait()
		b.stopReceiving()
		b.stream.client.forget(b)
		close(b.arrivals)
		close(b.done)
	}()
}

// awaitOpened waits for one reader to be subscribed.
func (b *Subscription) awaitOpened(ctx context.Context, opened <-chan error) error {
	select {
	case err := <-opened:
		return err
	case <-b.ended:
		return b.cause
	case <-ctx.Done():
		return fmt.Errorf("subscribe to stream %q: %w", b.stream.name, ctx.Err())
	}
}

// handOver is false when the subscription has ended and nobody wants a any more.
func (b *Subscription) handOver(a arrival) bool {
	select {
	case b.arrivals <- a:
		return true
	case <-b.ended:
		return false
	}
}

// end ends the subscription; the first cause holds.
func (b *Subscription) end(cause error) {
	b.endOnce.Do(func() {
		b.cause = cause
		close(b.ended)
		b.stopReceiving()
	})
}

// Next waits for the next message. It is io.EOF when the stop position is reached in all partitions, and after Drain;
// ErrClosed after Stop; and the context's error when that is done while there is nothing to return, after which the
// subscription goes on. Any other error is the end.
func (b *Subscription) Next(ctx context.Context) (*Message, error) {
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	m := &b.run[b.at]
	b.at++
	return m, nil
}

// Messages are what Next returns, one by one. An error is the last; io.EOF and Stop end the loop without one.
func (b *Subscription) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for {
			m, err := b.Next(ctx)
			if b.quiet(err) || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Batches is Messages by the runs in which they come, which is faster. A run holds messages of one partition that
// follow one another, at least one.
func (b *Subscription) Batches(ctx context.Context) iter.Seq2[[]Message, error] {
	return func(yield func([]Message, error) bool) {
		for {
			err := b.ready(ctx)
			if err != nil {
				if !b.quiet(err) {
					yield(nil, err)
				}
				return
			}
			rest := b.run[b.at:]
			b.at = len(b.run)
			if !yield(rest, nil) {
				return
			}
		}
	}
}

// quiet says whether a loop ends at err without an error.
func (b *Subscription) quiet(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, b.stopped)
}

// ready returns when there is a message at b.at of b.run.
func (b *Subscription) ready(ctx context.Context) error {
	for {
		select {
		case <-b.ended:
			b.run, b.at = nil, 0
			return b.cause
		default:
		}
		if b.at < len(b.run) {
			return nil
		}
		select {
		case a, ok := <-b.arrivals:
			b.accept(a, ok)
		case <-b.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// accept takes in what a reader handed over; ok is false when all readers have ended.
func (b *Subscription) accept(a arrival, ok bool) {
	switch {
	case !ok:
		b.end(io.EOF)
	case a.err != nil:
		b.end(a.err)
	case a.gap != nil:
		b.onGap(a.partition, *a.gap)
	default:
		b.run, b.at = a.messages, 0
	}
}

// Stop ends the subscription and discards what was received and not yet handed out. It may be called at any time, also
// within a loop over Messages, and repeatedly.
func (b *Subscription) Stop() {
	b.end(b.stopped)
	<-b.done
}

// Drain ends the reading, and returns when what had been received by then is handed out and Next was called once more:
// whoever handles messages one after the other has then handled them all. It is for another goroutine than that which
// calls Next. When the context is done before, Drain is Stop.
func (b *Subscription) Drain(ctx context.Context) error {
	b.stopReceiving()
	select {
	case <-b.ended:
		<-b.done
		if errors.Is(b.cause, io.EOF) {
			return nil
		}
		return b.cause
	case <-ctx.Done():
		b.Stop()
		return fmt.Errorf("drain subscription to stream %q: %w", b.stream.name, ctx.Err())
	}
}
