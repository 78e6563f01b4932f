package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// subjects publishes over the connections of capture, for those who want an answer.
type subjects struct{ source *capture.Source }

// Publish publishes a plain message.
func (s subjects) Publish(subject string, payload []byte) error {
	return s.source.Publish(subject, payload)
}

// inboxPrefix begins the inboxes of Request. Those that NATS's own clients have are never captured.
const inboxPrefix = "_TRESTLE.ACK."

// Request publishes the payload that is made for an inbox, and returns the first message that arrives there.
func (s subjects) Request(ctx context.Context, subject string, payload func(inbox string) ([]byte, error)) (answer []byte, err error) {
	id := uuid.New()
	inbox := inboxPrefix + id.String()
	message, err := payload(inbox)
	if err != nil {
		return nil, err
	}
	first := make(firstAnswer, 1)
	sub, err := s.source.Subscribe(ctx, capture.Target{UUID: id, Subjects: []string{inbox}, Settings: &capture.Live{}}, first)
	if err != nil {
		return nil, fmt.Errorf("listening for an answer: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Drain(context.WithoutCancel(ctx))) }()
	if err := s.Publish(subject, message); err != nil {
		return nil, fmt.Errorf("publishing on %q: %w", subject, err)
	}
	select {
	case answer = <-first:
		return answer, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for an answer on %q: %w", subject, context.Cause(ctx))
	}
}

// firstAnswer takes in one message and drops those that follow.
type firstAnswer chan []byte

// CaptureWith takes a message in. It does not wait anywhere: the room that it was counted for is free again.
func (a firstAnswer) CaptureWith(r *batch.Record, c partition.Captured) error {
	select {
	case a <- append([]byte(nil), r.Value...):
	default:
	}
	if c.OnSettled != nil {
		c.OnSettled()
	}
	return nil
}

// Full is never said: nothing is stored.
func (a firstAnswer) Full() bool { return false }

// AppendGap says that an answer may be missing: then nothing comes.
func (a firstAnswer) AppendGap(batch.Gap) error { return nil }
