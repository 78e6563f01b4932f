package metadata

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// story is a cluster that a test tells command by command. After each the state is checked.
type story struct {
	t       *testing.T
	s       *State
	lives   map[string]byte // incarnations so far
	storage map[string]byte // data folders so far
	made    uint32          // UUIDs given out
}

// newStory makes a cluster and registers the brokers.
func newStory(t *testing.T, brokers ...string) *story {
	t.Helper()
	w := &story{t: t, s: New(), lives: map[string]byte{}, storage: map[string]byte{}}
	secret := make([]byte, 32)
	secret[0] = 1
	w.do(&clusterv1.InitCluster{Uuid: w.uuid(), Secret: secret, Name: "test"})
	for _, broker := range brokers {
		w.start(broker)
	}
	return w
}

// uuid returns a UUID that was not given before.
func (w *story) uuid() []byte {
	w.made++
	id := make([]byte, 16)
	binary.BigEndian.PutUint32(id[12:], w.made)
	id[0] = 0x77
	return id
}

func identity(kind byte, name string, life byte) []byte {
	id := make([]byte, 16)
	copy(id, name)
	id[14], id[15] = kind, life
	return id
}

// commandOf wraps a command into the oneof, whatever its kind.
func commandOf(t testing.TB, m proto.Message) *clusterv1.Command {
	t.Helper()
	cmd := &clusterv1.Command{}
	fields := cmd.ProtoReflect().Descriptor().Oneofs().ByName("command").Fields()
	for i := range fields.Len() {
		if fields.Get(i).Message() == m.ProtoReflect().Descriptor() {
			cmd.ProtoReflect().Set(fields.Get(i), protoreflect.ValueOfMessage(m.ProtoReflect()))
			return cmd
		}
	}
	t.Fatalf("%T is no command", m)
	return nil
}

// propose applies a command and returns what its proposer is told. The state is checked after it.
func (w *story) propose(m proto.Message) Result {
	w.t.Helper()
	encoded, err := EncodeCommand(commandOf(w.t, m))
	if err != nil {
		w.t.Fatal(err)
	}
	before := w.s
	next, result := w.s.Apply(w.s.Index()+1, encoded)
	if err := next.Check(); err != nil {
		w.t.Fatalf("after %T %v: %v", m, m, err)
	}
	w.s = next
	w.checkGrowth(before)
	return result
}

// checkGrowth: leader epochs and partition epochs only grow, a leader changes with its epoch, members with theirs.
func (w *story) checkGrowth(before *State) {
	w.t.Helper()
	for p := range before.Partitions() {
		after, ok := w.s.Partition(p.ID)
		if !ok {
			continue
		}
		switch {
		case after.LeaderEpoch < p.LeaderEpoch, after.PartitionEpoch < p.PartitionEpoch, after.UncleanEpoch < p.UncleanEpoch,
			after.ReservedOffset < p.ReservedOffset:
			w.t.Fatalf("epochs go back: %+v, then %+v", p, after)
		case after.Leader != p.Leader && after.LeaderEpoch == p.LeaderEpoch:
			w.t.Fatalf("S9: leader %q becomes %q within leader epoch %d", p.Leader, after.Leader, p.LeaderEpoch)
		case !after.Equal(p.Membership) && after.PartitionEpoch == p.PartitionEpoch:
			w.t.Fatalf("C1: members change within partition epoch %d: %+v, then %+v", p.PartitionEpoch, p.Membership, after.Membership)
		}
	}
}

// do applies a command that must be accepted.
func (w *story) do(m proto.Message) *clusterv1.Answer {
	w.t.Helper()
	r := w.propose(m)
	if r.Refusal != nil || r.Unknown {
		w.t.Fatalf("%T is refused: %v (unknown %v)", m, r.Refusal, r.Unknown)
	}
	return r.Answer
}

// refused applies a command that must be refused for that reason and change nothing.
func (w *story) refused(reason Reason, m proto.Message) {
	w.t.Helper()
	_ = w.refusal(reason, m)
}

// refusal is refused for those who ask what it says.
func (w *story) refusal(reason Reason, m proto.Message) *Refusal {
	w.t.Helper()
	before := w.s
	r := w.propose(m)
	if r.Refusal == nil || r.Refusal.Reason != reason {
		w.t.Fatalf("%T is answered %+v, not refused with %s", m, r, reason)
	}
	if w.s.partitions != before.partitions || w.s.brokers != before.brokers || w.s.cluster != before.cluster {
		w.t.Fatalf("%T is refused and has changed the state", m)
	}
	return r.Refusal
}

// registration of a broker: a new incarnation if it is fenced or new, the same one otherwise.
func (w *story) registration(broker string) *clusterv1.RegisterBroker {
	before, _ := w.s.Broker(broker)
	w.lives[broker]++
	return &clusterv1.RegisterBroker{
		Name: broker, Incarnation: identity('i', broker, w.lives[broker]), Storage: identity('s', broker, w.storage[broker]),
		RaftId: broker + "@raft", ClientAddress: broker + ":9292", PeerAddress: broker + ":9294",
		PreviousEpoch: before.Epoch, MinFeatureLevel: 1, MaxFeatureLevel: 1, StateIndex: w.s.Index(),
	}
}

// reports says of every partition that the broker has a replica of that its copy is fine and ends with that tail.
func (w *story) reports(broker string, epoch, seq uint64) []*clusterv1.PartitionReport {
	var reports []*clusterv1.PartitionReport
	for p := range w.s.PartitionsOn(broker) {
		reports = append(reports, &clusterv1.PartitionReport{
			Partition: p.ID[:], State: clusterv1.CopyState_COPY_STATE_OK, LastEpoch: epoch, LastSeq: seq,
		})
	}
	return reports
}

// start registers a broker whose folder holds all its copies; the stop before, if any, was clean.
func (w *story) start(broker string) {
	w.t.Helper()
	r := w.registration(broker)
	r.CleanEpoch, r.Reports = r.GetPreviousEpoch(), w.reports(broker, 1, 1)
	w.do(r)
}

// crashStart registers a broker that did not stop cleanly and found its logs to end with that tail.
func (w *story) crashStart(broker string, epoch, seq uint64) {
	w.t.Helper()
	r := w.registration(broker)
	r.Reports = w.reports(broker, epoch, seq)
	w.do(r)
}

// fence ends the sessions of brokers with one command.
func (w *story) fence(brokers ...string) *clusterv1.Answer {
	w.t.Helper()
	var list []*clusterv1.BrokerAt
	for _, broker := range brokers {
		list = append(list, w.at(broker))
	}
	return w.do(&clusterv1.FenceBrokers{Brokers: list})
}

// at names the life that a broker is in.
func (w *story) at(broker string) *clusterv1.BrokerAt {
	b, _ := w.s.Broker(broker)
	return &clusterv1.BrokerAt{Name: broker, Epoch: b.Epoch}
}

func (w *story) ats(brokers ...string) []*clusterv1.BrokerAt {
	var list []*clusterv1.BrokerAt
	for _, broker := range brokers {
		list = append(list, w.at(broker))
	}
	return list
}

// stream makes a stream of one partition with these replicas and returns the partition's UUID.
func (w *story) stream(minISR int32, sync trestlev1.Sync, replicas ...string) uuid.UUID {
	w.t.Helper()
	id := w.uuid()
	w.do(&clusterv1.CreateStream{
		Uuid: w.uuid(),
		Config: &trestlev1.StreamConfig{
			Name: "s" + uuid.UUID(id).String(), Subjects: []string{"s." + uuid.UUID(id).String()},
			Replicas: proto.Int32(int32(len(replicas))), MinIsr: proto.Int32(minISR), Sync: sync,
		},
		Partitions: []*clusterv1.NewPartition{{Uuid: id, Replicas: replicas}},
	})
	return uuid.UUID(id)
}

// acked makes a stream that syncs before it acknowledges.
func (w *story) acked(minISR int32, replicas ...string) uuid.UUID {
	w.t.Helper()
	return w.stream(minISR, trestlev1.Sync_SYNC_ACK, replicas...)
}

func (w *story) partition(id uuid.UUID) Partition {
	w.t.Helper()
	p, ok := w.s.Partition(id)
	if !ok {
		w.t.Fatalf("there is no partition %s", id)
	}
	return p
}

// isr is what the leader of the partition would propose now.
func (w *story) isr(id uuid.UUID, members ...string) *clusterv1.AlterISR {
	w.t.Helper()
	p := w.partition(id)
	return &clusterv1.AlterISR{Leader: w.at(p.Leader), Changes: []*clusterv1.ISRChange{{
		Partition: id[:], LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Isr: w.ats(members...),
	}}}
}

// judged proposes an ISR and returns how its only item was judged.
func (w *story) judged(m proto.Message) *clusterv1.ItemResult {
	w.t.Helper()
	items := w.do(m).GetItems()
	if len(items) != 1 {
		w.t.Fatalf("%d items are answered", len(items))
	}
	return items[0]
}

// join makes the ISR of a partition what is named.
func (w *story) join(id uuid.UUID, members ...string) {
	w.t.Helper()
	if item := w.judged(w.isr(id, members...)); item.GetVerdict() != clusterv1.Verdict_VERDICT_ACCEPTED {
		w.t.Fatalf("ISR %q: %v", members, item)
	}
}
