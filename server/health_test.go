package server

import (
	"errors"
	"testing"
)

// A broker that starts, stops or has failed is not ready, whatever its parts say.
func TestPhases(t *testing.T) {
	t.Parallel()
	s := &Server{done: make(chan struct{}), phase: errStarting}
	if err := s.unready(); !errors.Is(err, errStarting) {
		t.Errorf("while it starts: %v", err)
	}
	s.enter(errStopping)
	if err := s.unready(); !errors.Is(err, errStopping) {
		t.Errorf("while it stops: %v", err)
	}
	failure := errors.New("the disk is gone")
	s.fail(failure)
	if err := s.unready(); !errors.Is(err, failure) {
		t.Errorf("after a failure: %v", err)
	}
}
