package metadata

import (
	"cmp"
	"slices"
)

// Candidate is a broker that may get replicas, with what it has already.
type Candidate struct {
	Name string
	Load
	// Spare candidates get a replica only when the others are too few: brokers that are away, whose copies would begin out
	// of sync.
	Spare bool
}

// Place chooses the replicas of new partitions of one stream, in order of preference: the first leads. It returns one list
// per partition, or nil if there are fewer candidates than replicas. It is pure and does not depend on the order of the
// candidates; of several that are equal the first by name is taken.
//
// Replicas: each partition takes the brokers that have the fewest of this stream, then the fewest of the cluster, then
// those that share the fewest partitions with the ones taken already, so that the partitions of a broker that fails are
// led on by many. The number of replicas differs by at most one within a stream (none spare).
//
// Leaders: with the replicas chosen, leadership is moved along paths from brokers that lead more to brokers that lead
// fewer until no path is left; then the numbers of leaders within the stream differ by at most one, as little as these
// replicas allow (Harvey, Ladner, Lovász and Tamir, Semi-Matchings for Bipartite Graphs and Load Balancing, 2006).
func Place(candidates []Candidate, partitions, replicas int) [][]string {
	if replicas > len(candidates) || replicas < 1 {
		return nil
	}
	p := newPlan(candidates, partitions)
	for range partitions {
		p.sets = append(p.sets, p.take(replicas))
	}
	p.chooseLeaders()
	placed := make([][]string, partitions)
	for i, set := range p.sets {
		for _, broker := range p.ordered(set, p.leader[i]) {
			placed[i] = append(placed[i], p.brokers[broker].Name)
		}
	}
	return placed
}

// plan is a placement under way. Brokers are indexes into brokers.
type plan struct {
	brokers  []Candidate
	replicas []int   // of this stream, by broker
	together [][]int // partitions that two brokers share
	sets     [][]int // of each partition
	leader   []int   // of each partition
	leads    []int   // of this stream, by broker
	through  [][]int // partitions that the first leads and the second holds
	follows  [][]int // how often the second comes next to the first, its leader
}

func newPlan(candidates []Candidate, partitions int) *plan {
	p := &plan{
		brokers:  slices.SortedFunc(slices.Values(candidates), func(a, b Candidate) int { return cmp.Compare(a.Name, b.Name) }),
		replicas: make([]int, len(candidates)),
		leads:    make([]int, len(candidates)),
		sets:     make([][]int, 0, partitions),
		leader:   make([]int, 0, partitions),
	}
	for range candidates {
		p.together = append(p.together, make([]int, len(candidates)))
		p.through = append(p.through, make([]int, len(candidates)))
		p.follows = append(p.follows, make([]int, len(candidates)))
	}
	return p
}

// take chooses the replicas of one more partition.
func (p *plan) take(replicas int) []int {
	var set []int
	for len(set) < replicas {
		best := -1
		for b := range p.brokers {
			if !slices.Contains(set, b) && (best < 0 || p.compareReplica(set, b, best) < 0) {
				best = b
			}
		}
		set = append(set, best)
	}
	for _, a := range set {
		p.replicas[a]++
		for _, b := range set {
			p.together[a][b]++
		}
	}
	return set
}

func (p *plan) compareReplica(set []int, a, b int) int {
	if x, y := p.brokers[a].Spare, p.brokers[b].Spare; x != y {
		if x {
			return 1
		}
		return -1
	}
	shared := func(broker int) int {
		n := 0
		for _, other := range set {
			n += p.together[broker][other]
		}
		return n
	}
	return cmp.Or(
		cmp.Compare(p.replicas[a], p.replicas[b]),
		cmp.Compare(p.brokers[a].Replicas+p.replicas[a], p.brokers[b].Replicas+p.replicas[b]),
		cmp.Compare(shared(a), shared(b)),
	)
}

// chooseLeaders gives every partition the replica that leads fewest, then evens out.
func (p *plan) chooseLeaders() {
	for i, set := range p.sets {
		leader := slices.MinFunc(set, p.compareLeader)
		if mutant("metadata-placement-ignores-leaders") {
			leader = slices.Min(set)
		}
		p.leader = append(p.leader, leader)
		p.countLeader(i, 1)
	}
	if mutant("metadata-placement-ignores-leaders") {
		return
	}
	for p.moveLeader() {
	}
}

// countLeader counts a partition for its leader, or with -1 takes it back.
func (p *plan) countLeader(partition, n int) {
	leader := p.leader[partition]
	p.leads[leader] += n
	for _, b := range p.sets[partition] {
		p.through[leader][b] += n
	}
}

func (p *plan) compareLeader(a, b int) int {
	if x, y := p.brokers[a].Spare, p.brokers[b].Spare; x != y {
		if x {
			return 1
		}
		return -1
	}
	return cmp.Or(
		cmp.Compare(p.leads[a], p.leads[b]),
		cmp.Compare(p.brokers[a].Leaders, p.brokers[b].Leaders),
		cmp.Compare(a, b),
	)
}

// better says whether it is better if to leads one more and from one fewer.
func (p *plan) better(from, to int) bool {
	if p.brokers[to].Spare {
		return false
	}
	switch gain := p.leads[from] - p.leads[to]; {
	case gain > 1:
		return true
	case gain == 1: // the two change places within the stream: what counts is the cluster
		return p.brokers[from].Leaders > p.brokers[to].Leaders
	default:
		return false
	}
}

// moveLeader moves leadership along one path of brokers, each of which leads a partition that the next one holds, so that
// the first leads one fewer and the last one more; false: there is no path on which that is better.
func (p *plan) moveLeader() bool {
	for from := range p.brokers {
		if p.leads[from] == 0 {
			continue
		}
		if path := p.pathFrom(from); path != nil {
			for i := range len(path) - 1 {
				p.handOver(path[i], path[i+1])
			}
			return true
		}
	}
	return false
}

// handOver moves the first partition that one broker leads and the other holds.
func (p *plan) handOver(from, to int) {
	for i, leader := range p.leader {
		if leader == from && slices.Contains(p.sets[i], to) {
			p.countLeader(i, -1)
			p.leader[i] = to
			p.countLeader(i, 1)
			return
		}
	}
}

// pathFrom searches breadth first; each broker is visited once. Nil: no path.
func (p *plan) pathFrom(from int) []int {
	came := make([]int, len(p.brokers)) // the broker before, plus one
	queue := []int{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for to, partitions := range p.through[at] {
			if partitions == 0 || came[to] > 0 || to == from || p.brokers[to].Spare {
				continue
			}
			came[to] = at + 1
			if p.better(from, to) {
				path := []int{to}
				for to != from {
					to = came[to] - 1
					path = append(path, to)
				}
				slices.Reverse(path)
				return path
			}
			queue = append(queue, to)
		}
	}
	return nil
}

// ordered puts the leader first, spare ones last, and between them first those that follow this leader least often.
func (p *plan) ordered(set []int, leader int) []int {
	rest := slices.DeleteFunc(slices.Clone(set), func(b int) bool { return b == leader })
	slices.SortFunc(rest, func(a, b int) int {
		if x, y := p.brokers[a].Spare, p.brokers[b].Spare; x != y {
			if x {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(p.follows[leader][a], p.follows[leader][b]), cmp.Compare(a, b))
	})
	if len(rest) > 0 {
		p.follows[leader][rest[0]]++
	}
	return append([]int{leader}, rest...)
}
