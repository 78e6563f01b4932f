package replication

// lease is the time for which the controller will not have made another broker the leader. It bounds what depends on time;
// leader epochs protect the data.
type lease struct {
	nanos int64
	sent  int64 // of the newest heartbeat that was answered
	ever  bool
}

func (l *lease) renew(sent int64) {
	if !l.ever || sent > l.sent {
		l.sent, l.ever = sent, true
	}
}

func (l *lease) held(now int64) bool { return l.ever && now-l.sent < l.nanos }
