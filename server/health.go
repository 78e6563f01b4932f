package server

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/host"
)

// Phases of a broker's life in which it is not ready.
var (
	errStarting = errors.New("the broker is starting; wait")
	errStopping = errors.New("the broker is stopping")
)

// checks are what a broker needs to be ready; they are there once it was.
type checks struct {
	source  *capture.Source
	streams *host.Host
	control *control
}

// unready is why the broker does not capture and serve for now; nil: it does. A partition with a fault does not count: the
// others go on, and its stream says so.
func (s *Server) unready() error {
	s.mu.Lock()
	phase, failed, c := s.phase, s.err, s.checks
	s.mu.Unlock()
	if failed != nil {
		return fmt.Errorf("the broker has failed: %w", failed)
	}
	if phase != nil {
		return phase
	}
	if leader, _ := c.control.node.Leader(); leader == "" {
		return host.ErrNoMetadataLeader
	}
	return errors.Join(c.source.Hearing(), c.streams.Healthy())
}

// enter begins a phase; nil: the broker is ready, if its parts are.
func (s *Server) enter(phase error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
}
