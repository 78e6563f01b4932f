package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/trestlehq/trestle/client"
)

const (
	demoPublishers = 4   // at work while the server is killed
	demoCrashAfter = 400 // acks
)

// crashLedger keeps what publishers know of their messages when their server dies.
type crashLedger struct {
	// enough is closed when demoCrashAfter messages are acked.
	enough chan struct{}

	mu       sync.Mutex
	acked    map[int64]published // by offset; guarded by mu
	inFlight []published         // neither acked nor refused; guarded by mu
	err      error               // an ack that cannot be; guarded by mu
}

func (l *crashLedger) ack(offset int64, m published) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, ok := l.acked[offset]; ok {
		l.err = fmt.Errorf("two acks for offset %d:\n  %v\n  %v", offset, other, m)
		return l.err
	}
	l.acked[offset] = m
	if len(l.acked) == demoCrashAfter {
		close(l.enough)
	}
	return nil
}

func (l *crashLedger) unknown(m published) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight = append(l.inFlight, m)
}

// crash kills the server while publishers wait for acks, starts it again on the same folder, and checks that all that
// was read before is unchanged, all that was acked is where the ack said, and nothing else has appeared.
func (s *demoStory) crash(ctx context.Context) error {
	ledger := &crashLedger{enough: make(chan struct{}), acked: make(map[int64]published)}
	if err := s.killWhilePublishing(ctx, ledger); err != nil {
		return err
	}
	if err := s.say("kill -9", "while %d publishers were at work: %s messages acked since, %d in flight",
		demoPublishers, count(len(ledger.acked)), len(ledger.inFlight)); err != nil {
		return err
	}
	s.disconnect()
	if err := s.launch(ctx); err != nil {
		return err
	}
	if err := s.say("the server again", "ready in %s on the same folder", took(s.child.startTime)); err != nil {
		return err
	}
	now, err := s.read(ctx, -1, client.FromEarliest(), client.UntilLatest())
	if err != nil {
		return err
	}
	if err := checkUnchanged(s.seen, now); err != nil {
		return fmt.Errorf("the crash changed what had been read: %w", err)
	}
	tail := now[len(s.seen):]
	for i := range tail {
		if want := int64(len(s.seen) + i); tail[i].Offset != want {
			return fmt.Errorf("after the crash expected offset %d, found %d", want, tail[i].Offset)
		}
	}
	stored, err := checkCrash(tail, ledger.acked, ledger.inFlight)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	before := len(s.seen)
	s.seen = now
	return s.say("compared", "%s as they were, all %s acked at their offsets, of %d in flight %d stored",
		count(before), count(len(ledger.acked)), len(ledger.inFlight), stored)
}

// killWhilePublishing returns when the server is dead and all publishers have noticed.
func (s *demoStory) killWhilePublishing(ctx context.Context, ledger *crashLedger) error {
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	var publishers sync.WaitGroup
	defer publishers.Wait()
	for n := range demoPublishers {
		publishers.Go(func() { s.publishUntilRefused(publishing, n, ledger) })
	}
	idle := make(chan struct{})
	go func() {
		publishers.Wait()
		close(idle)
	}()
	select {
	case <-ledger.enough:
	case <-idle:
	case <-ctx.Done():
	}
	s.child.kill()
	// What was under way broke with the connection; nothing waits for a server that will not come back.
	stop()
	<-idle
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if ledger.err == nil && len(ledger.acked) < demoCrashAfter {
		ledger.err = fmt.Errorf("expected %d acks before the crash, found %d", demoCrashAfter, len(ledger.acked))
	}
	return ledger.err
}

// publishUntilRefused publishes one message after the other, each acked before the next, until one is not.
func (s *demoStory) publishUntilRefused(ctx context.Context, publisher int, ledger *crashLedger) {
	for m := range keyedMessages(fmt.Sprintf("publisher %d", publisher), 0, 1<<20) {
		ack, err := s.stream.PublishMessage(ctx, client.Message{Subject: m.subject, Key: m.key, Value: m.value})
		if err != nil {
			// Even an error that says no is not believed here: such a message may be found, but need not.
			ledger.unknown(m)
			return
		}
		if ledger.ack(ack.Offset, m) != nil {
			return
		}
	}
}
