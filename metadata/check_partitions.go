package metadata

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/election"
)

// checkCluster checks what must hold of the cluster, its brokers and partitions after any command.
func (s *State) checkCluster() error {
	if s.nextProducerID < firstProducerID {
		return fmt.Errorf("next producer id is %d", s.nextProducerID)
	}
	if s.cluster.FeatureLevel == 0 && (s.brokers.Len() > 0 || s.partitions.Len() > 0) {
		return errors.New("there are brokers or partitions, and no cluster")
	}
	if err := s.checkBrokers(); err != nil {
		return err
	}
	var placements int
	for p := range s.Partitions() {
		if err := s.checkPartition(p); err != nil {
			return fmt.Errorf("partition %s (index %d): %w", p.ID, s.index, err)
		}
		placements += len(p.Replicas)
	}
	if placements != s.placed.Len() {
		return fmt.Errorf("partitions have %d replicas, and %d are indexed", placements, s.placed.Len())
	}
	return nil
}

func (s *State) checkBrokers() error {
	storages, raftIDs := map[uuid.UUID]string{}, map[string]string{}
	for b := range s.Brokers() {
		switch {
		case checkBrokerName(b.Name) != nil:
			return fmt.Errorf("broker %q has a name that is not allowed", b.Name)
		case b.Epoch == 0 || b.Epoch > s.index:
			return fmt.Errorf("broker %q has epoch %d at index %d", b.Name, b.Epoch, s.index)
		case b.PlacedAt > s.index:
			return fmt.Errorf("broker %q was given a partition at %d, at index %d", b.Name, b.PlacedAt, s.index)
		case b.Incarnation == uuid.Nil, b.Storage == uuid.Nil, b.RaftID == "":
			return fmt.Errorf("broker %q lacks an identity: %+v", b.Name, b)
		case storages[b.Storage] != "", raftIDs[b.RaftID] != "":
			return fmt.Errorf("broker %q shares storage or raft id with another", b.Name)
		case s.cluster.FeatureLevel < b.MinFeatureLevel, s.cluster.FeatureLevel > b.MaxFeatureLevel:
			return fmt.Errorf("broker %q cannot work at feature level %d", b.Name, s.cluster.FeatureLevel)
		}
		storages[b.Storage], raftIDs[b.RaftID] = b.Name, b.Name
	}
	return nil
}

func (s *State) checkPartition(p Partition) error {
	if len(p.Replicas) == 0 || p.MinISR < 1 || p.MinISR > len(minus(p.Replicas, p.Removing)) {
		return fmt.Errorf("replicas %q, of which %q go, with min ISR %d", p.Replicas, p.Removing, p.MinISR)
	}
	for _, broker := range p.Replicas {
		if _, ok := s.placed.Get(placementKey(broker, p.ID)); !ok {
			return fmt.Errorf("its replica on %q is not indexed", broker)
		}
	}
	if err := p.checkEpochs(s.index); err != nil {
		return err
	}
	if err := p.checkMembers(); err != nil {
		return err
	}
	if err := p.checkMoves(); err != nil {
		return err
	}
	return s.checkLeader(p)
}

func (p Partition) checkEpochs(index uint64) error {
	if p.LeaderEpoch == 0 || p.UncleanEpoch > p.LeaderEpoch || p.LeaderEpoch > p.PartitionEpoch || p.PartitionEpoch > index {
		return fmt.Errorf("unclean epoch %d, leader epoch %d, partition epoch %d at index %d do not grow",
			p.UncleanEpoch, p.LeaderEpoch, p.PartitionEpoch, index)
	}
	return nil
}

// checkMembers holds the lists of the membership to what election.Membership says of them.
func (p Partition) checkMembers() error {
	seen := map[string]bool{}
	for _, list := range [][]string{p.ISR, p.ELR, p.LastKnown, p.Lost} {
		last := -1
		for _, broker := range list {
			at := slices.Index(p.Replicas, broker)
			if at <= last || seen[broker] {
				return fmt.Errorf("ISR %q, ELR %q, last known %q, lost %q of replicas %q: not in order, twice or no replica",
					p.ISR, p.ELR, p.LastKnown, p.Lost, p.Replicas)
			}
			last, seen[broker] = at, true
		}
	}
	if hasTwins(p.Replicas) {
		return fmt.Errorf("replicas %q name one twice", p.Replicas)
	}
	for _, doubt := range p.Unsure {
		if !slices.Contains(p.ELR, doubt.Broker) && !slices.Contains(p.LastKnown, doubt.Broker) {
			return fmt.Errorf("%q is unsure, and not in ELR %q or last known %q", doubt.Broker, p.ELR, p.LastKnown)
		}
	}
	if len(p.ISR) >= p.MinISR && len(p.ELR)+len(p.LastKnown)+len(p.Lost)+len(p.Unsure) > 0 {
		return fmt.Errorf("C3: ISR %q has min ISR %d members, and ELR %q, last known %q, lost %q, unsure %v are not empty",
			p.ISR, p.MinISR, p.ELR, p.LastKnown, p.Lost, p.Unsure)
	}
	return nil
}

// checkMoves holds a reassignment to its form.
func (p Partition) checkMoves() error {
	switch {
	case len(minus(p.Adding, p.Replicas)) > 0, hasTwins(p.Adding):
		return fmt.Errorf("%q come, and replicas are %q", p.Adding, p.Replicas)
	case len(p.Removing) > 0 && !slices.Equal(p.Removing, p.Replicas[max(0, len(p.Replicas)-len(p.Removing)):]):
		return fmt.Errorf("%q go and are not the last of replicas %q", p.Removing, p.Replicas)
	case len(p.Adding) != len(minus(p.Adding, p.Removing)):
		return fmt.Errorf("%q come and %q go", p.Adding, p.Removing)
	case len(p.Adding)+len(p.Removing) > 0 && len(minus(p.Adding, p.ISR)) == 0 && len(minus(p.ISR, p.Removing)) >= p.MinISR:
		return fmt.Errorf("C7: ISR %q has all of %q that come and enough without %q that go, and the reassignment is not finished",
			p.ISR, p.Adding, p.Removing)
	}
	return nil
}

// checkLeader: who leads is in sync and alive, nobody fenced is in sync, and no partition that could have a leader has none.
func (s *State) checkLeader(p Partition) error {
	for _, broker := range p.ISR {
		if !s.unfenced(broker) {
			return fmt.Errorf("C6: %q is in ISR %q, and fenced or not known", broker, p.ISR)
		}
	}
	if p.Leader != "" {
		if !slices.Contains(p.ISR, p.Leader) {
			return fmt.Errorf("leader %q is not in ISR %q", p.Leader, p.ISR)
		}
		return nil
	}
	if len(p.ISR) > 0 {
		return fmt.Errorf("no leader with ISR %q", p.ISR)
	}
	if decision, _ := p.Elect(s.unfenced); decision != (election.Decision{Waiting: decision.Waiting}) {
		return fmt.Errorf("no leader, and %q could lead", decision.Leader)
	}
	return nil
}

func hasTwins(list []string) bool {
	for i, name := range list {
		if slices.Contains(list[:i], name) {
			return true
		}
	}
	return false
}
