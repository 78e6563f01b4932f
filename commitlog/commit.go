package commitlog

import "context"

// The commit position is where readers stop. The log does not decide it: whoever replicates does.

// Committed is the end of what may be read by consumers.
func (l *Log) Committed() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed
}

// Commit moves the commit position forward to p and wakes those who wait for that. A position behind it is ignored; one
// beyond the end counts as the end.
func (l *Log) Commit(p Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end.Before(p) {
		p = l.end
	}
	if !l.committed.Before(p) {
		return
	}
	l.committed = p
	l.wakeLocked()
}

func (l *Log) wakeLocked() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// WaitCommitted waits until the commit position is beyond p and returns it.
func (l *Log) WaitCommitted(ctx context.Context, p Position) (Position, error) {
	for {
		l.mu.Lock()
		committed, err := l.committed, l.usableLocked()
		if p.Before(committed) || err != nil {
			l.mu.Unlock()
			if p.Before(committed) {
				err = nil
			}
			return committed, err
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return committed, context.Cause(ctx)
		}
	}
}
