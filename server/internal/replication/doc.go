// Package replication is the arithmetic of one log of a partition: what a leader may commit, whom it counts as in sync,
// what it answers to a follower that opens a stream; and what a follower asks, takes, cuts off and believes. It is pure:
// no I/O, no clock, no goroutine. Whoever owns a Leader or a Follower serializes the calls, does what the answers say and
// tells what came of it.
//
//	leader                                     follower
//	   │  <- Open{last batch, end, durable}       │  names what it has
//	   │  -> Answer{accepted | diverged | …}      │  streams, truncates and asks again, restarts, or stops
//	   │  -> Batches, Commit                      │  checks, appends; commits what is there
//	   │  <- Progress{received, durable}          │
//	commit position = least safe position over the maximal ISR
//
// Times are nanoseconds of one clock that never goes back, of the broker that passes them. Rules are quoted by number: R1 to
// R9 and S1 to S15 of the specification, amended by its protocol page. DESIGN.md says why it holds.
package replication
