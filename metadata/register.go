package metadata

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/election"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// maxAddressBytes bounds addresses and raft ids: host names have at most 253 bytes.
const maxAddressBytes = 320

// arrival is a new life of a broker, with what it found in its data folder.
type arrival struct {
	name        string
	clean       bool // the life before it ended cleanly
	sameDisk    bool // it has the data folder of the life before
	sameProcess bool // the process never stopped: only its session had ended
	reports     map[uuid.UUID]*clusterv1.PartitionReport
}

// registerBroker begins a new life of a broker (C5). What another incarnation held has been ended by fencing it; here its
// copies become sure, unsure or lost, and partitions that wait for it may get a leader.
func (c *change) registerBroker(cmd *clusterv1.RegisterBroker) (*clusterv1.Answer, *Refusal) {
	b, refusal := parseBroker(cmd)
	if refusal != nil {
		return nil, refusal
	}
	reports, refusal := parseReports(cmd.GetReports())
	if refusal != nil {
		return nil, refusal
	}
	before, known := c.Broker(b.Name)
	if known && before.Incarnation == b.Incarnation && !before.Fenced {
		return &clusterv1.Answer{BrokerEpoch: before.Epoch}, nil // the same proposal once more
	}
	if refusal := c.checkArrival(before, b, cmd.GetPreviousEpoch()); refusal != nil {
		return nil, refusal
	}
	if refusal := checkReported(before, cmd.GetStateIndex()); refusal != nil {
		return nil, refusal
	}
	b.Epoch, b.PlacedAt = c.index, before.PlacedAt
	c.putBroker(b)
	a := arrival{
		name:        b.Name,
		clean:       known && (cmd.GetCleanEpoch() == before.Epoch || cmd.GetCleanEpoch() != 0 && mutant("metadata-stale-clean-token")),
		sameDisk:    known && before.Storage == b.Storage || mutant("metadata-new-storage-as-same"),
		sameProcess: known && before.Incarnation == b.Incarnation,
		reports:     reports,
	}
	var changed []Partition
	for _, id := range c.placedOn(b.Name) {
		p, _ := c.Partition(id)
		after := c.arrived(p, a)
		if a.sameProcess && mutant("metadata-same-process-unjudged") {
			after = p.Membership
		}
		if !after.Equal(p.Membership) {
			p.Membership = after
			changed = append(changed, c.settled(p))
		} else if c.elect(&p) {
			changed = append(changed, p)
		}
	}
	c.putPartitions(changed)
	if mutant("metadata-unknown-copy-deleted") {
		for id := range reports {
			c.putDeletion(b.Name, id, id)
		}
	}
	c.addInternalStreams()
	return &clusterv1.Answer{BrokerEpoch: b.Epoch}, nil
}

// arrived is the membership of a partition after the new life has begun. Who held nothing that counts has nothing to lose:
// a partition that was made while the broker was away, or one that it was still catching up on. A process that never stopped
// is as sure of its copies as it was; what it says is damaged or gone, or is silent about, is judged as of any other.
func (c *change) arrived(p Partition, a arrival) election.Membership {
	m := p.Membership
	report, reported := a.reports[p.ID]
	tail := election.Tail{Epoch: report.GetLastEpoch(), Seq: report.GetLastSeq()}
	switch {
	case !holds(m, a.name):
		return m
	case c.inMemory(p.Stream) && (!a.sameProcess || report.GetState() != clusterv1.CopyState_COPY_STATE_OK):
		return m.Restarted(a.name, election.Tail{})
	case !a.sameDisk, !reported && !mutant("metadata-unreported-kept"), report.GetState() == clusterv1.CopyState_COPY_STATE_MISSING:
		return m.LostCopy(a.name)
	}
	if report.GetState() == clusterv1.CopyState_COPY_STATE_DAMAGED {
		after, kept := m.Damaged(a.name)
		if !kept {
			return after
		}
	}
	if a.clean || a.sameProcess || mutant("metadata-unclean-restart-as-clean") {
		return m.Left(a.name)
	}
	return m.Restarted(a.name, tail)
}

func (s *State) inMemory(stream uuid.UUID) bool {
	st, ok := s.StreamByID(stream)
	return ok && st.Config.GetStorage() == trestlev1.Storage_STORAGE_MEMORY
}

// checkArrival says whether the new life may begin. before is the zero Broker for a broker that is new.
func (c *change) checkArrival(before, b Broker, previousEpoch uint64) *Refusal {
	if before.Epoch != 0 && !before.Fenced && !mutant("metadata-two-incarnations") {
		return refuse(ReasonBrokerAlive, "broker %q is registered with another incarnation, which is not fenced yet; stop it, or wait until its session ends",
			b.Name).with("broker", b.Name).with("epoch", fmt.Sprint(before.Epoch))
	}
	if previousEpoch != before.Epoch && !mutant("metadata-previous-epoch-unchecked") {
		return refuse(ReasonStaleBroker, "broker %q was last registered in epoch %d, not %d; register again with that",
			b.Name, before.Epoch, previousEpoch).with("broker", b.Name).with("epoch", fmt.Sprint(before.Epoch))
	}
	if before.Incarnation == b.Incarnation && before.Storage != b.Storage {
		return refuse(ReasonInvalid, "broker %q is registered with the data folder %s, and one process has one; register with that",
			b.Name, before.Storage).with("field", "storage")
	}
	if c.cluster.FeatureLevel < b.MinFeatureLevel || c.cluster.FeatureLevel > b.MaxFeatureLevel {
		return refuse(ReasonFeatureLevel, "the cluster is at feature level %d and this program works at %d to %d; run one that fits",
			c.cluster.FeatureLevel, b.MinFeatureLevel, b.MaxFeatureLevel)
	}
	for other := range c.Brokers() {
		switch {
		case other.Name == b.Name:
		case other.Storage == b.Storage:
			return refuse(ReasonStorageInUse, "broker %q has the data folder %s; give %q a folder of its own", other.Name, b.Storage, b.Name).
				with("broker", other.Name).with("storage", b.Storage.String())
		case other.RaftID == b.RaftID:
			return refuse(ReasonInvalid, "broker %q has the raft id %q; give %q a raft folder of its own", other.Name, b.RaftID, b.Name).
				with("broker", other.Name).with("field", "raft_id")
		}
	}
	if before.Epoch == 0 && c.brokers.Len() >= MaxBrokers {
		return refuse(ReasonLimit, "the cluster has %d brokers, and no more are allowed; remove one first", c.brokers.Len())
	}
	return nil
}

// checkReported refuses reports that were made from a state in which not all was placed on the broker that is now: what they
// are silent about would count as lost, and a folder that the broker had no reason to look for would count as missing.
func checkReported(before Broker, stateIndex uint64) *Refusal {
	if stateIndex >= before.PlacedAt || mutant("metadata-report-of-older-state") {
		return nil
	}
	return refuse(ReasonStaleState, "broker %q made its reports from the state at index %d, and a partition was placed on it at %d; look again with a newer state",
		before.Name, stateIndex, before.PlacedAt).with("broker", before.Name).with("index", fmt.Sprint(before.PlacedAt))
}

func (c *change) putBroker(b Broker) {
	c.brokers, _, _ = c.brokers.Insert([]byte(b.Name), &b)
}

func parseBroker(cmd *clusterv1.RegisterBroker) (Broker, *Refusal) {
	b := Broker{
		Name: cmd.GetName(), RaftID: cmd.GetRaftId(),
		ClientAddress: cmd.GetClientAddress(), PeerAddress: cmd.GetPeerAddress(),
		MinFeatureLevel: cmd.GetMinFeatureLevel(), MaxFeatureLevel: cmd.GetMaxFeatureLevel(),
	}
	if refusal := checkBrokerName(b.Name); refusal != nil {
		return Broker{}, refusal
	}
	var refusal *Refusal
	if b.Incarnation, refusal = parseUUID("incarnation", cmd.GetIncarnation()); refusal != nil {
		return Broker{}, refusal
	}
	if b.Storage, refusal = parseUUID("storage", cmd.GetStorage()); refusal != nil {
		return Broker{}, refusal
	}
	for _, f := range []struct{ field, value string }{
		{"raft_id", b.RaftID}, {"client_address", b.ClientAddress}, {"peer_address", b.PeerAddress},
	} {
		if f.value == "" || len(f.value) > maxAddressBytes {
			return Broker{}, refuse(ReasonInvalid, "%s has %d bytes; give 1 to %d", f.field, len(f.value), maxAddressBytes).with("field", f.field)
		}
	}
	if b.MinFeatureLevel == 0 || b.MinFeatureLevel > b.MaxFeatureLevel || b.MaxFeatureLevel > maxFeatureLevel {
		return Broker{}, refuse(ReasonInvalid, "feature levels %d to %d are no range within 1 to %d",
			b.MinFeatureLevel, b.MaxFeatureLevel, maxFeatureLevel).with("field", "max_feature_level")
	}
	return b, nil
}

func parseReports(list []*clusterv1.PartitionReport) (map[uuid.UUID]*clusterv1.PartitionReport, *Refusal) {
	reports := make(map[uuid.UUID]*clusterv1.PartitionReport, len(list))
	for _, r := range list {
		id, refusal := parseUUID("partition", r.GetPartition())
		if refusal != nil {
			return nil, refusal
		}
		if _, twice := reports[id]; twice || r.GetState() == clusterv1.CopyState_COPY_STATE_UNSPECIFIED {
			return nil, refuse(ReasonInvalid, "partition %s is reported twice or without a state; report each once", id).with("field", "reports")
		}
		reports[id] = r
	}
	return reports, nil
}
