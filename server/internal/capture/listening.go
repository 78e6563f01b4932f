package capture

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// listening says which route a subscription's messages are for. NATS names a subscription by the number that the client gave
// it; nats.go counts from 1 and does not tell. So the number is foretold here, and the line with which nats.go subscribes is
// compared before it is sent.
type listening struct {
	mu     sync.RWMutex
	last   int64            // number of the subscription that was made last; guarded by mu
	routes map[int64]*route // by number; guarded by mu
}

func newListening() *listening { return &listening{routes: map[int64]*route{}} }

// add is to be called before nats.go subscribes for the route, and by one goroutine at a time.
func (l *listening) add(r *route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	r.sid, r.confirmed = l.last, false
	r.standing.refused.Store(false)
	l.routes[r.sid] = r
}

// undo takes the last add back: nats.go has refused before it took a number.
func (l *listening) undo(r *route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last--
	delete(l.routes, r.sid)
}

func (l *listening) remove(r *route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.routes, r.sid)
}

// of is the route of a subscription; nil: it has ended.
func (l *listening) of(sid int64) *route {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.routes[sid]
}

// sent looks at lines that nats.go sends, whole ones: SUB subject [group] number.
func (l *listening) sent(lines []byte) error {
	for len(lines) > 0 {
		var line []byte
		var whole bool
		if line, lines, whole = bytes.Cut(lines, []byte("\n")); !whole || !bytes.HasPrefix(line, []byte("SUB ")) {
			continue
		}
		fields := bytes.Fields(line)
		sid, err := strconv.ParseInt(string(fields[len(fields)-1]), 10, 64)
		r := l.of(sid)
		switch {
		case err != nil || len(fields) < 3:
			return fmt.Errorf("nats.go sends %.80q", line)
		case r == nil: // it has ended since
		case r.subject != string(fields[1]) || len(fields) == 4 && r.target.Group != string(fields[2]):
			return fmt.Errorf("nats.go sends %.80q, and subscription %d is that of %q", line, sid, r.subject)
		}
	}
	return nil
}

// all are the routes as of now.
func (l *listening) all() []*route {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Values(l.routes))
}
