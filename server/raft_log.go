package server

import (
	"context"
	"log/slog"
	"strings"
)

// electionOfOne begins what raft warns of when a node stands for election.
const electionOfOne = "heartbeat timeout reached"

// loneVoter is a log for the raft node of a cluster of one. It is its own only leader, so that standing for election is how
// each start begins, and nothing to warn of.
type loneVoter struct{ slog.Handler }

// Handle logs, and such a warning as a debug line.
func (h loneVoter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn && strings.HasPrefix(r.Message, electionOfOne) {
		r.Level = slog.LevelDebug
		if !h.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps what it is.
func (h loneVoter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return loneVoter{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps what it is.
func (h loneVoter) WithGroup(name string) slog.Handler { return loneVoter{h.Handler.WithGroup(name)} }
