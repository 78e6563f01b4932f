package host

import (
	"testing"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// What was found is found again until the metadata or what runs here change.
func TestLookups(t *testing.T) {
	t.Parallel()
	var l lookups
	one, other := &metadata.State{}, &metadata.State{}
	p, where := &partition.Partition{}, place{stream: "orders", partition: 1}
	at := l.now(one)
	l.put(at, where, publicity{p, []string{"orders.1"}})
	if found, ok := l.get(l.now(one), where); !ok || found.partition != p || len(found.subjects) != 1 {
		t.Errorf("found %+v, %v", found, ok)
	}
	if _, ok := l.get(l.now(one), place{stream: "orders"}); ok {
		t.Error("another partition is found")
	}
	if _, ok := l.get(l.now(other), where); ok {
		t.Error("it is found in another state")
	}
	l.changes.Add(1)
	if _, ok := l.get(l.now(one), where); ok {
		t.Error("it is found after a change of what runs here")
	}
	l.put(at, where, publicity{p, nil}) // by one who began to look before the change
	if _, ok := l.get(l.now(one), where); ok {
		t.Error("what was found before the change is found after it")
	}
}

func BenchmarkPublishable(b *testing.B) {
	var l lookups
	state := &metadata.State{}
	where := place{stream: "orders", partition: 1}
	l.put(l.now(state), where, publicity{&partition.Partition{}, nil})
	b.ReportAllocs()
	for b.Loop() {
		l.get(l.now(state), where)
	}
}
