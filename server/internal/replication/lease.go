package replication

// lease bounds what depends on time (R5, protocol.md 3.3); leader epochs protect the data. While it runs the controller has
// heard of this broker less than a lease ago, and so has not fenced it for its silence: that takes longer. It does not say
// that this broker leads: a planned move (transfer, drain, the end of a reassignment) elects another at once, and a
// connection that is refused fences at once (3.4).
type lease struct {
	nanos int64
	began int64 // the leadership
	sent  int64 // of the newest heartbeat that was answered
	ever  bool
}

func (l *lease) renew(sent int64) {
	if !l.ever || sent > l.sent {
		l.sent, l.ever = sent, true
	}
}

// runs says whether a heartbeat sent less than a lease ago was answered.
func (l *lease) runs(now int64) bool { return l.ever && now-l.sent < l.nanos }

// alone says whether the leases of former leaderships have ended: they were renewed by heartbeats sent before this one began.
func (l *lease) alone(now int64) bool {
	return now-l.began >= l.nanos || mutant("replication-lease-shared")
}
