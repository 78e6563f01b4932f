package host

import (
	"sync"
	"sync/atomic"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// lookups remembers what Publishable has found, for as long as neither the metadata nor what runs here changes: a publish of
// one message asks for nothing else.
type lookups struct {
	changes atomic.Uint64 // of what runs here

	mu    sync.RWMutex
	as    asOf                // guarded by mu
	found map[place]publicity // as of as; guarded by mu
}

// asOf is when something was found.
type asOf struct {
	state   *metadata.State
	changes uint64
}

type place struct {
	stream    string
	partition int32
}

// publicity is a partition that may be published to, and the subjects that its records may have, which are not to be
// changed.
type publicity struct {
	partition *partition.Partition
	subjects  []string
}

// now is to be asked for before anything is looked up that is then remembered.
func (l *lookups) now(state *metadata.State) asOf {
	return asOf{state: state, changes: l.changes.Load()}
}

func (l *lookups) get(at asOf, p place) (publicity, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.as != at {
		return publicity{}, false
	}
	found, ok := l.found[p]
	return found, ok
}

// put remembers what was found as of then.
func (l *lookups) put(at asOf, p place, found publicity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.as != at {
		l.as, l.found = at, map[place]publicity{}
	}
	l.found[p] = found
}
