package node

import (
	"context"
	"sync"
)

// progress is how far the machine has come. It is safe for concurrent use.
type progress struct {
	mu      sync.Mutex
	applied uint64
	waiting map[chan struct{}]uint64 // closed when the index is applied
}

// reach notes that the machine holds everything up to index.
func (p *progress) reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = max(p.applied, index)
	for done, wanted := range p.waiting {
		if wanted <= p.applied {
			close(done)
			delete(p.waiting, done)
		}
	}
}

func (p *progress) index() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied
}

// wait returns nil when index is applied, or the context's error; stopped ends it with [ErrStopped].
func (p *progress) wait(ctx context.Context, index uint64, stopped <-chan struct{}) error {
	p.mu.Lock()
	if index <= p.applied {
		p.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	if p.waiting == nil {
		p.waiting = make(map[chan struct{}]uint64)
	}
	p.waiting[done] = index
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-stopped:
		return ErrStopped
	}
}
