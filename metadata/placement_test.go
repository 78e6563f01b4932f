package metadata

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func candidates(n int) []Candidate {
	list := make([]Candidate, n)
	for i := range list {
		list[i].Name = fmt.Sprintf("b%03d", i)
	}
	return list
}

// carry adds what was placed to the loads, and returns the loads of the placed partitions alone.
func carry(list []Candidate, placed [][]string) []Load {
	own := make([]Load, len(list))
	for _, replicas := range placed {
		for i, name := range replicas {
			at := slices.IndexFunc(list, func(c Candidate) bool { return c.Name == name })
			own[at].Replicas++
			list[at].Replicas++
			if i == 0 {
				own[at].Leaders++
				list[at].Leaders++
			}
		}
	}
	return own
}

// spread is the difference between the broker that has most and the one that has fewest.
func spread(loads []Load) (replicas, leaders int) {
	count := func(of func(Load) int) int {
		list := make([]int, len(loads))
		for i, l := range loads {
			list[i] = of(l)
		}
		return slices.Max(list) - slices.Min(list)
	}
	return count(func(l Load) int { return l.Replicas }), count(func(l Load) int { return l.Leaders })
}

func loadsOf(list []Candidate) []Load {
	loads := make([]Load, len(list))
	for i, c := range list {
		loads[i] = c.Load
	}
	return loads
}

// On an empty cluster replicas and leaders of one stream differ by at most one between brokers, for every small shape.
func TestPlaceOneStreamOnEmptyCluster(t *testing.T) {
	t.Parallel()
	for brokers := 1; brokers <= 9; brokers++ {
		for replicas := 1; replicas <= min(brokers, MaxReplicas); replicas++ {
			for partitions := 1; partitions <= 40; partitions++ {
				list := candidates(brokers)
				placed := Place(list, partitions, replicas)
				if len(placed) != partitions {
					t.Fatalf("%d partitions are placed, want %d", len(placed), partitions)
				}
				for _, set := range placed {
					if len(set) != replicas || hasTwins(set) {
						t.Fatalf("%d brokers, %d replicas: got %q", brokers, replicas, set)
					}
				}
				if r, l := spread(carry(list, placed)); r > 1 || l > 1 {
					t.Errorf("%d brokers, %d partitions of %d replicas: replicas differ by %d, leaders by %d", brokers, partitions, replicas, r, l)
				}
			}
		}
	}
}

// Stream after stream of random shapes: within each replicas and leaders differ by at most one, and over the cluster they
// stay close together.
func TestPlaceManyStreams(t *testing.T) {
	t.Parallel()
	worstReplicas, worstLeaders := 0, 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		list := candidates(2 + random.IntN(8))
		for range 60 {
			partitions, replicas := 1+random.IntN(12), 1+random.IntN(min(len(list), MaxReplicas))
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			own := carry(list, Place(list, partitions, replicas))
			if r, l := spread(own); r > 1 || l > 1 {
				t.Fatalf("seed %d: within one stream of %d partitions, %d replicas, %d brokers, replicas differ by %d, leaders by %d",
					seed, partitions, replicas, len(list), r, l)
			}
			r, l := spread(loadsOf(list))
			worstReplicas, worstLeaders = max(worstReplicas, r), max(worstLeaders, l)
		}
	}
	t.Logf("over the cluster replicas differed by at most %d, leaders by at most %d", worstReplicas, worstLeaders)
	if worstReplicas > 2 || worstLeaders > 4 {
		t.Errorf("replicas differed by %d, want at most 2; leaders by %d, want at most 4", worstReplicas, worstLeaders)
	}
}

// Streams of one partition are the usual case: the cluster alone evens out.
func TestPlaceStreamsOfOnePartition(t *testing.T) {
	t.Parallel()
	for brokers := 1; brokers <= 7; brokers++ {
		for replicas := 1; replicas <= min(brokers, 3); replicas++ {
			list := candidates(brokers)
			for range 50 {
				carry(list, Place(list, 1, replicas))
				if r, l := spread(loadsOf(list)); r > 1 || l > 2 {
					t.Fatalf("%d brokers, %d replicas: replicas differ by %d, leaders by %d", brokers, replicas, r, l)
				}
			}
		}
	}
}

// When a broker fails, its partitions are led on by many others and not all by one.
func TestPlaceSpreadsFollowers(t *testing.T) {
	t.Parallel()
	list := candidates(6)
	next := map[string]map[string]int{}
	for _, set := range Place(list, 60, 3) {
		if next[set[0]] == nil {
			next[set[0]] = map[string]int{}
		}
		next[set[0]][set[1]]++
	}
	for leader, followers := range next {
		if len(followers) < 4 {
			t.Errorf("%s hands over to %v only", leader, followers)
		}
	}
}

func TestPlaceUsesSpareBrokersLast(t *testing.T) {
	t.Parallel()
	list := candidates(4)
	list[0].Spare = true
	for _, set := range Place(list, 8, 3) {
		if slices.Contains(set, list[0].Name) {
			t.Errorf("%q has a broker that is away, and three are there", set)
		}
	}
	for _, set := range Place(list, 8, 4) {
		if set[3] != list[0].Name {
			t.Errorf("%q: the broker that is away is not the last", set)
		}
	}
	if got := Place(list, 1, 5); got != nil {
		t.Errorf("5 replicas on 4 brokers: got %q", got)
	}
}

// A broker that was just added takes what comes until it has caught up, and no stream suffers for it.
func TestPlaceFillsNewBroker(t *testing.T) {
	t.Parallel()
	list := candidates(3)
	for i := range list {
		list[i].Load = Load{Replicas: 100, Leaders: 33}
	}
	list = append(list, Candidate{Name: "new"})
	for range 30 {
		carry(list, Place(list, 1, 2))
	}
	if got := list[3].Load; got != (Load{Replicas: 30, Leaders: 30}) {
		t.Errorf("the new broker has %+v of 30 partitions", got)
	}
}
