package partition

import (
	"slices"
	"testing"
	"time"
)

// Of those who wait for a turn the one that is due first comes next: what somebody waits for longest, and what nobody waits
// for 50 ms later (protocol.md 1.8, interfaces.md 3.6).
func TestOrderOfTurns(t *testing.T) {
	t.Parallel()
	turns := NewTurns(1)
	now := time.Now()
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	awaited := func(since int) *unsynced { return &unsynced{since: at(since), awaited: at(since)} }
	plain := func(since int) *unsynced { return &unsynced{since: at(since)} }
	first := turns.ask(at(0))
	<-first.taken

	asked := map[string]*turn{}
	for name, u := range map[string]*unsynced{
		"plain at 1": plain(1), "awaited at 10": awaited(10), "awaited at 5": awaited(5), "awaited at 60": awaited(60),
		"plain at 2, awaited from 8 on": {since: at(2), awaited: at(8)}, "plain at 3, hurried to 9": plain(3),
	} {
		asked[name] = turns.ask(u.due())
	}
	turns.hurry(asked["plain at 3, hurried to 9"], at(9))
	turns.hurry(asked["awaited at 5"], at(70)) // which is no hurry
	var order []string
	for range asked {
		turns.give()
		for name, one := range asked {
			select {
			case <-one.taken:
				if !slices.Contains(order, name) {
					order = append(order, name)
				}
			default:
			}
		}
	}
	want := []string{
		"awaited at 5", "plain at 2, awaited from 8 on", "plain at 3, hurried to 9", "awaited at 10", "plain at 1", "awaited at 60",
	}
	if !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
	turns.give()
	turns.hurry(first, at(0)) // long over
	if turns.free != 1 || len(turns.waiting) != 0 {
		t.Errorf("%d turns are free and %d wait", turns.free, len(turns.waiting))
	}
}
