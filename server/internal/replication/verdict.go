package replication

import "github.com/trestlehq/trestle/commitlog"

// VerdictKind is what a follower has to do next.
type VerdictKind uint8

// The zero VerdictKind is none.
const (
	Wait       VerdictKind = iota + 1 // nothing, for now
	Drop                              // forget the message: it is of a former session or known
	Stream                            // the leader sends batches from the end of the log on
	Append                            // append the batches
	Reopen                            // leave the stream and send Request again
	Truncate                          // remove every batch with seq Seq or a higher one, durably; then call Truncated
	Restart                           // empty the log, durably, so that it begins at Begin; then call Truncated
	Quarantine                        // take no part until somebody has looked: Reason
)

// Verdict is what a follower has to do next, and with what.
type Verdict struct {
	Kind    VerdictKind
	Seq     uint64             // Truncate
	Begin   commitlog.Position // Restart
	Unclean bool               // Truncate, Restart: committed batches go, as an unclean election allows
	Reason  string             // Quarantine: what is wrong, in a sentence
}
