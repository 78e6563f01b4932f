package partition

import (
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

// A queue that rests forgets nobody: who waits for no more than an answer has no bytes in it.
func TestQueueRests(t *testing.T) {
	t.Parallel()
	q := &queue{}
	q.room.L = new(noLock)
	q.addRecord(&batch.Record{}, note{})
	q.done(nil, q.take().captured)
	refused := &publication{}
	refused.refuse(ErrPaused)
	q.addPublication(refused)
	for range 3 {
		q.rest()
	}
	if w := q.take(); len(w.publications) != 1 {
		t.Fatalf("%d publications wait, want 1", len(w.publications))
	}
	for range 2 {
		q.rest()
	}
	if q.spare != nil || q.publications != nil {
		t.Error("memory is kept that nobody has a use for")
	}
}

// noLock is for what one goroutine uses.
type noLock struct{}

func (*noLock) Lock()   {}
func (*noLock) Unlock() {}
