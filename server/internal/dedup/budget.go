package dedup

import "sync/atomic"

// DefaultBudget is the memory in bytes that all windows of a broker may use together.
const DefaultBudget = 256 << 20

// Budget is memory that the windows of a broker share. While it is used up, a window that has more than its equal share
// forgets its oldest ids for each new one, and one that has less grows: no partition is left without a window because
// others were first. So for a time more than the limit may be in use, at worst twice as much; Trim of the windows that
// have more than their share ends it. A Budget may be used by many goroutines at once.
type Budget struct {
	limit   int64
	used    atomic.Int64
	windows atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: max(limit, 0)} }

// Limit is the number of bytes that the windows may use together.
func (b *Budget) Limit() int64 { return b.limit }

// Used is the number of bytes that the windows use now.
func (b *Budget) Used() int64 { return b.used.Load() }

// allows says whether a window that has so many bytes may have more of them. A nil budget allows all.
func (b *Budget) allows(has, more int64) bool {
	return b == nil || b.used.Load()+more <= b.limit || has+more <= b.share()
}

// exceeded says whether a window that has so many bytes is to give some back.
func (b *Budget) exceeded(has int64) bool {
	return b != nil && b.used.Load() > b.limit && has > b.share()
}

func (b *Budget) share() int64 { return b.limit / max(b.windows.Load(), 1) }

func (b *Budget) take(n int64) {
	if b != nil {
		b.used.Add(n)
	}
}

func (b *Budget) join(n int64) {
	if b != nil {
		b.windows.Add(n)
	}
}
