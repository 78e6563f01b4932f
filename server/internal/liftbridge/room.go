package liftbridge

import (
	"context"
	"sync"
)

// room bounds how many bytes are held. It is safe for concurrent use.
type room struct {
	size int

	mu   sync.Mutex
	left sync.Cond // signalled when bytes leave
	used int       // guarded by mu
}

func newRoom(size int) *room {
	r := &room{size: size}
	r.left.L = &r.mu
	return r
}

// enter takes n bytes in, waiting until they fit. More than all the room fits an empty one.
func (r *room) enter(ctx context.Context, n int) error {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.left.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.used > 0 && r.used+n > r.size {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.left.Wait()
	}
	r.used += n
	return nil
}

func (r *room) leave(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	r.left.Broadcast()
}
