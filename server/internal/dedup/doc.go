// Package dedup is what every replica of a partition remembers so that a message is stored once: the ids of the
// messages of the last minutes, and where idempotent producers stand.
//
//	d := state.Decide(request, next, now, nil) // leader: what to append, what to answer
//	state.Append(batch, ids)                   // every batch, on the leader and on every follower
//	err := state.Truncated(seq)                // the log was cut: all of that is undone
//	state.Committed(seq)                       // up to here nothing will be cut: what expired can go
//	snapshot := state.Save(nil, seq, time)     // at each segment roll; Load and the later batches give the same state
//
// The state follows from the appended batches alone: time is the append time of batches, in unix nanoseconds, never a
// local clock. The package does no I/O, starts no goroutine, writes no log lines. All but Budget is for one goroutine
// at a time: the owner of the partition locks.
//
// DESIGN.md has the rules, the sizes and what was rejected.
package dedup
