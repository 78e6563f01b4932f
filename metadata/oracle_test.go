package metadata

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// batchMark stands for a batch: the leader epoch in which it was written, and a number that no other has.
type batchMark struct{ epoch, number uint64 }

// copies are the logs of one partition, as they really are, and what of them was committed.
type copies struct {
	logs      map[string][]batchMark
	committed []batchMark
	pending   *clusterv1.ISRChange // proposed by the leader, outcome not known to it
	minISR    int
}

// oracle tells histories with logs in them: leaders append, followers copy, ISRs commit, brokers crash and come back with
// what they have, one disk may be lost, and proposals arrive late or twice.
type oracle struct {
	*chaos
	logs   map[uuid.UUID]*copies
	number uint64
	late   []proto.Message
	losses int
}

// S1, S2, S3 for `sync: ack`: whatever commands arrive in whatever order, every sure member of ISR and ELR and every leader
// holds everything that was committed; with one lost disk at min ISR 2 and more.
func TestNothingCommittedIsLost(t *testing.T) {
	t.Parallel()
	elections := 0
	for seed := range *randomSeeds * 2 {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { elections += logHistory(t, seed) }) {
			return
		}
	}
	if elections < int(*randomSeeds) {
		t.Errorf("%d elections were checked: the histories are too tame", elections)
	}
}

func logHistory(t *testing.T, seed uint64) (elections int) {
	o := &oracle{
		chaos: &chaos{Rand: rand.New(rand.NewPCG(seed, 3)), story: newStory(t), brokers: []string{"a", "b", "c", "d"}},
		logs:  map[uuid.UUID]*copies{},
	}
	for _, broker := range o.brokers {
		o.start(broker)
	}
	for i := range 3 {
		replicas := o.some(o.brokers, 2)
		id := o.acked(int32(1+(i+o.IntN(2))%len(replicas)), replicas...)
		o.logs[id] = &copies{logs: map[string][]batchMark{}, minISR: o.partition(id).MinISR}
	}
	o.led(nil)
	for range 400 {
		if o.IntN(2) == 0 {
			o.write()
			continue
		}
		m := o.next()
		before := o.s
		result := o.propose(m)
		o.decided(m, result)
		elections += o.led(before)
		o.check(m)
	}
	return elections
}

// running says whether the process that runs for a broker is the one that has registered. Another one takes no role (3.6).
func (o *oracle) running(broker string) bool {
	b, ok := o.s.Broker(broker)
	return ok && b.Incarnation == uuid.UUID(identity('i', broker, o.lives[broker]))
}

func (o *oracle) active(broker string) bool { return o.running(broker) && o.s.unfenced(broker) }

// write lets one leader append, one follower copy, or one ISR commit.
func (o *oracle) write() {
	p := o.onePartition()
	l := o.logs[p.ID]
	if l == nil || !o.active(p.Leader) {
		return
	}
	switch o.IntN(3) {
	case 0:
		o.number++
		l.logs[p.Leader] = append(slices.Clone(l.logs[p.Leader]), batchMark{p.LeaderEpoch, o.number})
	case 1:
		follower := p.Replicas[o.IntN(len(p.Replicas))]
		if o.active(follower) {
			o.follow(l, p.Leader, follower, o.IntN(4))
		}
	default:
		o.commit(p, l)
	}
}

// follow cuts a follower's log where the leader's differs and copies up to n batches more.
func (o *oracle) follow(l *copies, leader, follower string, n int) {
	shared := 0
	from, to := l.logs[leader], l.logs[follower]
	for shared < len(from) && shared < len(to) && from[shared] == to[shared] {
		shared++
	}
	l.logs[follower] = slices.Clone(from[:min(len(from), shared+n)])
}

// commit: everyone in the ISR and in what is proposed has everything, and the committed ISR is large enough (R3).
func (o *oracle) commit(p Partition, l *copies) {
	members := slices.Clone(p.ISR)
	if l.pending != nil && l.pending.GetPartitionEpoch() == p.PartitionEpoch {
		for _, at := range l.pending.GetIsr() {
			members = append(members, at.GetName())
		}
	}
	if len(p.ISR) < p.MinISR || !slices.Contains(l.logs[p.Leader], batchMark{p.LeaderEpoch, 0}) {
		return
	}
	for _, member := range members {
		if !o.active(member) {
			return
		}
		o.follow(l, p.Leader, member, len(l.logs[p.Leader]))
	}
	l.committed = slices.Clone(l.logs[p.Leader])
}

// next is the command that arrives now: a new one, or one that was held back or has arrived before.
func (o *oracle) next() proto.Message {
	if len(o.late) > 0 && o.IntN(5) == 0 {
		return proto.Clone(o.late[o.IntN(len(o.late))])
	}
	makers := []func() proto.Message{
		o.arrive, o.arrive, o.arrive, o.fenceSome, o.proposeISR, o.proposeISR, o.proposeISR, o.moveLeader, o.reassignOne, o.drain,
	}
	m := makers[o.IntN(len(makers))]()
	o.late = append(o.late, proto.Clone(m))
	if o.IntN(8) == 0 {
		return proto.Clone(o.late[o.IntN(len(o.late))]) // and this one later, or never
	}
	return m
}

func (o *oracle) drain() proto.Message {
	at := o.at(o.broker())
	return &clusterv1.DrainBroker{Name: at.GetName(), Epoch: at.GetEpoch(), Cancel: o.IntN(2) == 0}
}

// proposeISR: a leader proposes followers that have what it has; what it has proposed counts until it knows the outcome.
func (o *oracle) proposeISR() proto.Message {
	p := o.onePartition()
	l := o.logs[p.ID]
	m := &clusterv1.AlterISR{Leader: o.at(p.Leader)}
	if l == nil || !o.active(p.Leader) {
		return m
	}
	if l.pending != nil && l.pending.GetPartitionEpoch() == p.PartitionEpoch {
		m.Changes = append(m.Changes, l.pending) // one in flight, repeated as it was
		return m
	}
	members := o.some(minus(p.Replicas, []string{p.Leader}), 0)
	members = slices.DeleteFunc(members, func(b string) bool { return !o.active(b) })
	for _, follower := range members {
		o.follow(l, p.Leader, follower, len(l.logs[p.Leader]))
	}
	l.pending = &clusterv1.ISRChange{
		Partition: p.ID[:], LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Isr: o.ats(append(members, p.Leader)...),
	}
	m.Changes = append(m.Changes, l.pending)
	return m
}

// decided lets the leader learn what became of its proposal.
func (o *oracle) decided(m proto.Message, result Result) {
	alter, ok := m.(*clusterv1.AlterISR)
	if !ok || result.Answer == nil {
		return
	}
	for i, change := range alter.GetChanges() {
		l := o.logs[uuid.UUID(change.GetPartition())]
		if result.Answer.GetItems()[i].GetVerdict() != clusterv1.Verdict_VERDICT_STALE && proto.Equal(l.pending, change) {
			l.pending = nil
		}
	}
}

// arrive starts a process for a broker that is away, or again for one whose session has not ended yet, and registers it with
// what its logs are. An unclean stop has cost it some of what was not committed.
func (o *oracle) arrive() proto.Message {
	name := o.broker()
	for _, other := range o.brokers {
		if b, _ := o.s.Broker(other); b.Fenced {
			name = other
		}
	}
	b, _ := o.s.Broker(name)
	r := o.registration(name)
	if o.IntN(3) == 0 {
		r.CleanEpoch = b.Epoch
	}
	if o.losses == 0 && o.IntN(40) == 0 {
		o.losses++
		o.storage[name]++
		r.Storage = identity('s', name, o.storage[name])
	}
	for p := range o.s.PartitionsOn(name) {
		o.recover(r, p, r.Storage[15] != b.Storage[15])
	}
	return r
}

// recover reports one log as it comes out of recovery. What is not durable yet is lost in an unclean stop; a fsynced batch
// never is.
func (o *oracle) recover(r *clusterv1.RegisterBroker, p Partition, diskLost bool) {
	l, name := o.logs[p.ID], r.GetName()
	if l == nil {
		r.Reports = append(r.Reports, &clusterv1.PartitionReport{Partition: p.ID[:], State: clusterv1.CopyState_COPY_STATE_OK})
		return
	}
	if diskLost {
		l.logs[name] = nil
	}
	log := l.logs[name]
	if kept := len(l.committed); r.GetCleanEpoch() == 0 && holdsAll(log, l.committed) && len(log) > kept {
		log = log[:kept+o.IntN(len(log)-kept+1)]
		l.logs[name] = slices.Clone(log)
	}
	report := &clusterv1.PartitionReport{Partition: p.ID[:], State: clusterv1.CopyState_COPY_STATE_OK, LastSeq: uint64(len(log))}
	if len(log) > 0 {
		report.LastEpoch = log[len(log)-1].epoch
	}
	r.Reports = append(r.Reports, report)
}

// led lets leaders of new epochs write their epoch batch, and deposed ones go on for a while. It counts the elections.
func (o *oracle) led(before *State) (elections int) {
	for p := range o.s.Partitions() {
		l := o.logs[p.ID]
		if l == nil {
			continue
		}
		var was Partition
		if before != nil {
			was, _ = before.Partition(p.ID)
		}
		if was.LeaderEpoch == p.LeaderEpoch {
			continue
		}
		l.pending = nil
		if was.Leader != p.Leader && o.running(was.Leader) && o.IntN(2) == 0 {
			o.number++
			l.logs[was.Leader] = append(slices.Clone(l.logs[was.Leader]), batchMark{was.LeaderEpoch, o.number})
		}
		if o.active(p.Leader) {
			elections++
			l.logs[p.Leader] = append(slices.Clone(l.logs[p.Leader]), batchMark{p.LeaderEpoch, 0})
		}
	}
	return elections
}

func holdsAll(log, committed []batchMark) bool {
	return len(log) >= len(committed) && slices.Equal(log[:len(committed)], committed)
}

// check holds every sure member to what was committed. With min ISR 1 the budget of S1 is no lost disk.
func (o *oracle) check(last proto.Message) {
	o.t.Helper()
	for id, l := range o.logs {
		if o.losses >= l.minISR {
			continue
		}
		p := o.partition(id)
		for _, broker := range slices.Concat(p.ISR, p.ELR) {
			b, _ := o.s.Broker(broker)
			unsure := b.Storage != uuid.UUID(identity('s', broker, o.storage[broker])) // a lost disk that nobody knows of yet
			for _, doubt := range p.Unsure {
				unsure = unsure || doubt.Broker == broker
			}
			if !unsure && !holdsAll(l.logs[broker], l.committed) {
				o.t.Fatalf("S1: after %T %v %q lacks what was committed:\n%+v\nlog %v\ncommitted %v", last, last, broker, p, l.logs[broker], l.committed)
			}
		}
	}
}
