package fanout

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server/gsl"
)

// Listeners are who listened on NATS at one moment. A nil Listeners stands for a NATS that does not tell: anybody may listen on
// anything. It is safe for concurrent use once all have been added.
type Listeners struct {
	streams *gsl.GenericSublist[uuid.UUID] // uuid.Nil: somebody who is not a stream
}

// NewListeners begins with nobody.
func NewListeners() *Listeners { return &Listeners{streams: gsl.NewSublist[uuid.UUID]()} }

// AddStream adds a stream that listens on the subject, which may be a pattern, and drops what it has fanned out itself.
func (l *Listeners) AddStream(subject string, stream uuid.UUID) error {
	if err := l.streams.Insert(subject, stream); err != nil {
		return fmt.Errorf("adding who listens on %q: %w", subject, err)
	}
	return nil
}

// Add adds anybody else.
func (l *Listeners) Add(subject string) error { return l.AddStream(subject, uuid.Nil) }

// Beside says whether anybody but the stream may hear what is published on the subject.
func (l *Listeners) Beside(stream uuid.UUID, subject string) bool {
	if l == nil {
		return true
	}
	others := false
	l.streams.Match(subject, func(listening uuid.UUID) { others = others || listening != stream })
	return others
}
