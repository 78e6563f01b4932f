package simulation_test

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	"github.com/trestlehq/trestle/server/internal/replication"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// replica is a log with the role that the metadata gives it. It does what the arithmetic of package replication says, as a
// broker will, but for goroutines.
type replica struct {
	w    *world
	b    *broker
	id   uuid.UUID
	log  *commitlog.Log
	opts commitlog.Options

	bad     error  // damage below the mark: the copy is not believed and has no role
	told    bool   // the damage is being told to the metadata
	heardAt uint64 // the partition epoch as of which the metadata knows of it
	epochs  []replication.EpochStart
	view    replication.View
	known   metadata.Partition

	leader      *replication.Leader
	follower    *replication.Follower
	ring        *shadow.Ring
	waiting     []*publish            // as leader: appended, not committed yet
	proposed    bool                  // as leader: a proposal is under way
	committedTo map[string]toldSoFar  // as leader: what each follower was told to be committed
	readers     map[string]*sentSoFar // as leader
	gaps        shadow.Gaps
	wrote       map[uint64]bool     // seqs of gaps that this process wrote as leader
	reported    map[uint64][]func() // as leader: who is to learn that a gap is committed
	ticked      int64               // true time
	progressed  bool                // as follower: the leader was shown to have appended what it had heard
	retried     int64
	followed    uint64 // leader epoch
	ringLife    int
	gone        bool // the copy was discarded
	pumping     bool
	checked     commitlog.Position // what the oracle has looked at
	syncing     bool
	lastWord    int64 // as follower: when the leader was heard last, monotonic
	asked       int64 // as follower: when it was asked last
}

type toldSoFar struct {
	session uint64
	commit  commitlog.Position
	start   int64
}

func (r *replica) dir() string { return path.Join(partitions, r.id.String(), "log0") }

// openReplica opens, or makes, the log of a partition.
func openReplica(b *broker, id uuid.UUID) *replica {
	r := &replica{w: b.w, b: b, id: id, committedTo: map[string]toldSoFar{}, reported: map[uint64][]func(){}, wrote: map[uint64]bool{}}
	folder := path.Dir(r.dir())
	b.w.must(b.disk.MkdirAll(folder), "making the folder of a partition")
	b.w.must(b.disk.SyncDir(partitions), "making the folder of a partition")
	b.made[id] = true
	r.open(commitlog.Origin)
	b.replicas[id] = r
	r.newRing()
	return r
}

// newRing begins to hear. What came before, and what another ring held, is missing.
func (r *replica) newRing() {
	if r.w.rings++; r.w.nats.published > 0 {
		r.w.nats.lossy = true
	}
	r.ringLife = r.w.rings
	r.ring = shadow.NewRing(shadow.Options{WindowNanos: int64(r.w.plan.window), MaxBytes: r.w.plan.ringBytes})
	if _, appended := r.log.LastEpoch(); appended > 0 {
		r.ring.Incomplete(batch.GapRestart, appended, r.b.clock(), 0, false)
	}
}

// open opens the log, which begins at base if it is empty.
func (r *replica) open(base commitlog.Position) {
	r.opts = commitlog.Options{
		Files: r.b.files, Partition: r.id, Marks: r.b.marks, Base: base, SegmentBytes: r.w.plan.segmentBytes,
	}
	log, report, err := commitlog.Open(r.dir(), r.opts)
	r.b.check(err, "opening a log")
	r.log, r.bad, r.heardAt = log, nil, 0
	switch {
	case len(report.Damaged) > 0:
		r.bad = report.Damaged[0]
	case report.Lost != nil:
		r.bad = fmt.Errorf("segments are gone: %v to %v", report.Lost.From, report.Lost.To)
	}
	if r.bad != nil && !r.b.damaged[r.id] {
		r.w.violate("2.8", "%s finds damage where none was done: %v; %+v", r.b.name, r.bad, report)
	}
	for _, cut := range report.Cut {
		r.w.log("%s/%s: %s is cut at %d: %v", r.b.name, r.id.String()[:2], cut.File, cut.Position, cut.Reason)
	}
	if r.bad == nil {
		r.w.log("%s/%s opens at %v, it was durable up to %v: %+v", r.b.name, r.id.String()[:2], log.End(), r.b.held[r.id], report)
		r.readEpochs()
		r.w.oracle.opened(r)
	}
}

// readEpochs takes the history of epochs out of the log (R10).
func (r *replica) readEpochs() {
	epochs, err := r.log.Epochs()
	if err != nil {
		r.spoilt(err)
		return
	}
	r.epochs = r.epochs[:0]
	for _, e := range epochs {
		r.epochs = append(r.epochs, replication.EpochStart(e))
	}
}

func (r *replica) history() replication.History {
	return replication.History{Epochs: slices.Clone(r.epochs), End: r.log.End(), First: r.log.First()}
}

func (r *replica) last() replication.Name { return replication.Name(r.log.Last()) }

// report is what the broker says of this copy when it registers.
func (r *replica) report() *clusterv1.PartitionReport {
	last := r.log.Last()
	report := &clusterv1.PartitionReport{
		Partition: r.id[:], State: clusterv1.CopyState_COPY_STATE_OK, LastEpoch: last.Epoch, LastSeq: last.Seq,
	}
	if r.bad != nil {
		report.State = clusterv1.CopyState_COPY_STATE_DAMAGED
	}
	return report
}

// spoilt takes note that bytes of this copy are not what was written. It steps out of its role and says so (2.8).
func (r *replica) spoilt(err error) {
	if r.bad != nil {
		return
	}
	if !commitlog.IsDamage(err) {
		r.b.check(err, "a log")
	}
	if !r.b.damaged[r.id] {
		r.w.violate("2.8", "%s reads damage where none was done: %v", r.b.name, err)
	}
	r.w.happened("spoilt", uint64(r.b.index))
	r.bad = err
	r.standDown()
}

// standDown ends the role. What waits for a commit never learns what became of it.
func (r *replica) standDown() {
	r.gaps.Retry()
	r.leader, r.follower, r.waiting, r.proposed = nil, nil, nil, false
}

// viewed makes the role fit the newest state of the partition (3.6: level-triggered).
func (r *replica) viewed(p metadata.Partition) {
	r.known, r.view = p, viewOf(r.b.state, p)
	own := r.b.brokerEpoch()
	switch {
	case own == 0:
		return // what was true before this process began is not known to be
	case r.bad != nil:
		r.mend()
	case p.Leader == r.b.name && r.leader != nil && r.leaderEpoch() == p.LeaderEpoch:
		r.leader.Viewed(r.view, r.b.monotonic())
	case p.Leader == r.b.name:
		r.standDown()
		r.lead()
	case r.leader != nil || r.follower == nil:
		r.standDown()
		r.follow()
	default:
		if p.LeaderEpoch != r.followed {
			r.ring.Follow(r.b.clock())
		}
		r.follower.Viewed(r.view, own)
	}
	r.followed = p.LeaderEpoch
	r.pump()
}

func (r *replica) leaderEpoch() uint64 { return r.leader.LeaderEpoch() }

// viewOf is what the arithmetic needs to know of the state.
func viewOf(state *metadata.State, p metadata.Partition) replication.View {
	v := replication.View{
		Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, UncleanEpoch: p.UncleanEpoch,
		MinISR: p.MinISR, Synced: p.Durable,
	}
	for _, name := range p.Replicas {
		b, _ := state.Broker(name)
		v.Members = append(v.Members, replication.Member{
			Broker: name, BrokerEpoch: b.Epoch, Live: !b.Fenced && !b.Stopping, InSync: slices.Contains(p.ISR, name),
		})
	}
	return v
}

// mend replaces a copy that is not believed by a new one, once nobody counts on it and another leads.
func (r *replica) mend() {
	counted := counted(&r.known, r.b.name)
	if r.heardAt == 0 && !r.told {
		r.told = true
		command := &clusterv1.ReportDamage{
			Broker:     &clusterv1.BrokerAt{Name: r.b.name, Epoch: r.b.brokerEpoch()},
			Partitions: []*clusterv1.PartitionAt{{Partition: r.id[:], PartitionEpoch: r.known.PartitionEpoch}},
		}
		r.w.control.propose(r.b, &clusterv1.Command{Command: &clusterv1.Command_ReportDamage{ReportDamage: command}},
			func(result metadata.Result, known bool) {
				r.told = false
				if known && result.Answer != nil && result.Answer.Items[0].Verdict == clusterv1.Verdict_VERDICT_ACCEPTED {
					r.heardAt = result.Answer.Items[0].PartitionEpoch
				}
			})
	}
	if r.heardAt != 0 && r.known.PartitionEpoch >= r.heardAt && !counted && r.known.Leader != "" && r.known.Leader != r.b.name {
		r.w.happened("mended", uint64(r.b.index))
		r.restart(commitlog.Origin)
		r.b.damaged[r.id] = false
		r.newRing()
		r.follow()
	}
}

// restart empties the log, which then begins at base. The old one goes to the trash.
func (r *replica) restart(base commitlog.Position) {
	if err := r.log.Close(); r.bad == nil {
		r.b.check(err, "closing a log")
	}
	if !mutant("simulation-mark-of-emptied-log") {
		r.b.marks.Forget(commitlog.LogName{Partition: r.id})
	}
	r.b.check(r.b.marks.Flush(), "flushing the marks")
	r.w.trashed++
	err := commitlog.Trash(r.b.disk, r.dir(), path.Join(trashDir, r.id.String(), strconv.Itoa(r.w.trashed)), time.Unix(0, r.b.clock()))
	r.w.must(err, "emptying the log of %s", r.b.name)
	r.open(base)
}

// synced is called when the log has become durable up to there.
func (r *replica) synced(durable commitlog.Position) {
	if r.leader != nil {
		r.leader.Synced(durable)
	}
	if r.follower != nil {
		r.follower.Synced(durable)
		r.progress()
	}
	r.pump()
}

// appended sees that what was appended becomes durable some time later.
func (r *replica) appended() {
	if mutant("simulation-progress-before-sync") {
		if r.leader != nil {
			r.leader.Synced(r.log.End())
		}
		if r.follower != nil {
			r.follower.Synced(r.log.End())
		}
	}
	if mark, ok := r.b.marks.Get(commitlog.LogName{Partition: r.id}); ok && mutant("simulation-mark-above-sync") {
		mark.Durable = r.log.End()
		r.b.marks.Put(mark)
	}
	if r.syncing {
		return
	}
	r.syncing = true
	process, log := r.b.process, r.log
	r.w.after(r.w.between(100*time.Microsecond, r.w.plan.syncDelay), func() {
		if !r.b.up || r.b.process != process {
			return
		}
		r.b.whenAwake(func() {
			r.syncing = false
			if r.log != log || r.gone {
				return
			}
			durable, err := r.log.Sync()
			r.b.check(err, "syncing a log")
			r.synced(durable)
		})
	})
}

// learnEpoch adds the epoch of batches that were appended; forgetEpochs drops those of batches that were cut off.
func (r *replica) learnEpoch(epoch uint64, start commitlog.Position) {
	if n := len(r.epochs); n == 0 || r.epochs[n-1].Epoch < epoch {
		r.epochs = append(r.epochs, replication.EpochStart{Epoch: epoch, Start: start})
	}
}

func (r *replica) forgetEpochs(end commitlog.Position) {
	for n := len(r.epochs); n > 0 && !r.epochs[n-1].Start.Before(end); n-- {
		r.epochs = r.epochs[:n-1]
	}
}

// epochOf is the leader epoch of the batch with that seq, 0 if it is older than the log.
func (r *replica) epochOf(seq uint64) (epoch uint64) {
	for _, e := range r.epochs {
		if e.Start.Seq <= seq {
			epoch = e.Epoch
		}
	}
	return epoch
}

func (r *replica) tick() {
	if r.bad != nil {
		if r.b.brokerEpoch() != 0 {
			r.mend()
		}
		return
	}
	if r.follower != nil {
		r.tickFollower()
	}
	if r.leader != nil {
		r.tickLeader()
	}
	r.tickRing()
	if r.w.plan.compact && r.w.chance(20) {
		r.compact()
	}
	if r.leader != nil && r.w.plan.retain > 0 && r.w.chance(50) {
		r.retain()
	}
	r.pump()
}

func (r *replica) connectionLost(name string) {
	if r.follower != nil && r.view.Leader == name {
		r.follower.Disconnected()
		r.asked = 0
	}
	if r.leader != nil {
		if session, ok := r.leader.SessionOf(name); ok {
			r.leader.Disconnected(name, session)
		}
	}
}
