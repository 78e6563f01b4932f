package metadata

import (
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// Load is what a broker has to carry.
type Load struct {
	// Replicas are the partitions that it holds or is to hold, and Leaders those of them that it leads.
	Replicas, Leaders int
}

// Load returns how many replicas and leaderships the broker has.
func (s *State) Load(broker string) Load {
	load, _ := s.streams.loads.Get([]byte(broker))
	return load
}

// loadChanges are what the loads of brokers change by.
type loadChanges map[string]Load

// count takes in that a partition is replaced; the zero Partition: there was none, or will be none.
func (l loadChanges) count(before, after Partition) {
	add := func(broker string, replicas, leaders int) {
		load := l[broker]
		l[broker] = Load{load.Replicas + replicas, load.Leaders + leaders}
	}
	if !sameMembers(before.Replicas, after.Replicas) {
		for _, broker := range before.Replicas {
			add(broker, -1, 0)
		}
		for _, broker := range after.Replicas {
			add(broker, 1, 0)
		}
	}
	if before.Leader != after.Leader {
		if before.Leader != "" {
			add(before.Leader, 0, -1)
		}
		if after.Leader != "" {
			add(after.Leader, 0, 1)
		}
	}
}

// changeLoads keeps the loads up. The order of brokers does not matter: the tree is the same whatever it is.
func (c *change) changeLoads(changes loadChanges) {
	loads := c.streams.loads
	for broker, by := range changes {
		load, _ := loads.Get([]byte(broker))
		load.Replicas += by.Replicas
		load.Leaders += by.Leaders
		if load == (Load{}) {
			loads, _, _ = loads.Delete([]byte(broker))
		} else {
			loads, _, _ = loads.Insert([]byte(broker), load)
		}
	}
	c.streams.loads = loads
}

// newLoads holds nothing: a broker without load has no entry.
func newLoads() *iradix.Tree[Load] { return iradix.New[Load]() }

// sameMembers says whether both lists have the same members, in whatever order.
func sameMembers(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, broker := range a {
		if !slices.Contains(b, broker) {
			return false
		}
	}
	return true
}
