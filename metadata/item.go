package metadata

import (
	"fmt"

	"github.com/google/uuid"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

func acceptedItem(p Partition) *clusterv1.ItemResult {
	return itemOf(p, clusterv1.Verdict_VERDICT_ACCEPTED, "", "")
}

func refusedItem(p Partition, reason Reason, message string) *clusterv1.ItemResult {
	return itemOf(p, clusterv1.Verdict_VERDICT_REFUSED, reason, message)
}

func staleItem(p Partition, message string) *clusterv1.ItemResult {
	return itemOf(p, clusterv1.Verdict_VERDICT_STALE, ReasonStalePartition, message)
}

func itemOf(p Partition, verdict clusterv1.Verdict, reason Reason, message string) *clusterv1.ItemResult {
	return &clusterv1.ItemResult{
		Verdict: verdict, Reason: string(reason), Message: message,
		LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
	}
}

// partitionItem finds the partition of an item, or answers that there is none.
func (s *State) partitionItem(id []byte) (Partition, *clusterv1.ItemResult) {
	if len(id) == len(uuid.UUID{}) {
		if p, ok := s.Partition(uuid.UUID(id)); ok {
			return p, nil
		}
	}
	return Partition{}, refusedItem(Partition{}, ReasonPartitionNotFound, fmt.Sprintf("there is no partition %x; it was deleted", id))
}

// leaderItem finds the partition of an item that only its leader may send, in its own leader epoch and broker epoch.
func (s *State) leaderItem(id []byte, leader *clusterv1.BrokerAt, leaderEpoch uint64) (Partition, *clusterv1.ItemResult) {
	p, item := s.partitionItem(id)
	if item != nil {
		return p, item
	}
	b, _ := s.Broker(leader.GetName())
	switch {
	case leaderEpoch != p.LeaderEpoch && !mutant("metadata-leader-epoch-unchecked"):
		return p, staleItem(p, fmt.Sprintf("leader epoch is %d, not %d", p.LeaderEpoch, leaderEpoch))
	case leader.GetName() != p.Leader && !mutant("metadata-leader-unchecked"):
		return p, staleItem(p, fmt.Sprintf("the leader is %q, not %q", p.Leader, leader.GetName()))
	case leader.GetEpoch() != b.Epoch && !mutant("metadata-leader-broker-epoch-unchecked"):
		return p, staleItem(p, fmt.Sprintf("broker %q is in epoch %d, not %d", b.Name, b.Epoch, leader.GetEpoch()))
	}
	return p, nil
}

// foundPartition finds the partition that a command names, in that partition epoch; 0: whatever it is.
func (s *State) foundPartition(id []byte, partitionEpoch uint64) (Partition, *Refusal) {
	p, item := s.partitionItem(id)
	if item != nil {
		return p, refuse(ReasonPartitionNotFound, "%s", item.GetMessage()).with("partition", fmt.Sprintf("%x", id))
	}
	if partitionEpoch != 0 && partitionEpoch != p.PartitionEpoch {
		return p, refuse(ReasonStalePartition, "partition %s has changed since (partition epoch %d, not %d); read the state and decide anew",
			p.ID, p.PartitionEpoch, partitionEpoch).with("partition", p.ID.String()).with("partition_epoch", fmt.Sprint(p.PartitionEpoch))
	}
	return p, nil
}
