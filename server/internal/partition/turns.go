package partition

// DefaultTurns is how many logs of a data folder are synced at once (protocol.md 1.8).
const DefaultTurns = 32

// Turns are those at which the partitions of a data folder sync their logs: so many at once, whoever has waited longest
// next. What is appended to a log that waits for its turn joins its round, so the more partitions there are to sync, the more
// each sync is for. Without it thousands of partitions would keep as many threads waiting for one disk. It is safe for
// concurrent use; a nil Turns bounds nothing.
type Turns struct {
	slots chan struct{} // those who wait to send are served in order
}

// NewTurns lets n logs be synced at once.
func NewTurns(n int) *Turns { return &Turns{slots: make(chan struct{}, n)} }

// take waits for a turn, give ends it.
func (t *Turns) take() {
	if t != nil {
		t.slots <- struct{}{}
	}
}

func (t *Turns) give() {
	if t != nil {
		<-t.slots
	}
}
