package simulation_test

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// faults lets the plan's faults happen until the world is healed.
func (w *world) faults() {
	for _, f := range []struct {
		every time.Duration
		run   func(*broker)
	}{
		{w.plan.powerCut, func(b *broker) { w.crash(b, true) }},
		{w.plan.kill, func(b *broker) { w.crash(b, false) }},
		{w.plan.cleanStop, w.stopCleanly},
		{w.plan.cut, w.isolate},
		{w.plan.oneWay, w.cutOneWay},
		{w.plan.breakUp, func(b *broker) { w.breakConnections(b, w.other(b)) }},
		{w.plan.pause, w.pause},
		{w.plan.raftElection, func(*broker) { w.control.elect() }},
		{w.plan.failSync, func(b *broker) { b.disk.FailNextSync("") }},
		{w.plan.rot, w.rotSomething},
		{w.plan.diskLoss, w.loseDisk},
		{w.plan.natsCut, w.nats.cutOff},
		{w.plan.transfer, w.transfer},
		{w.plan.drain, w.drain},
		{w.plan.blackout, func(*broker) { w.blackout() }},
		{w.plan.skew, func(b *broker) { b.skew = int64(w.between(-300*time.Millisecond, 300*time.Millisecond)) }},
		{w.plan.jump, w.jump},
		{w.plan.reassign, w.reassign},
		{w.plan.newMinISR, w.changeMinISR},
	} {
		if f.every > 0 {
			w.sometimes(f.every, f.run)
		}
	}
}

// sometimes does something to a random broker, on average so often.
func (w *world) sometimes(every time.Duration, run func(*broker)) {
	w.after(w.between(0, 2*every), func() {
		if !w.healed {
			run(w.brokers[w.rng.IntN(len(w.brokers))])
			w.sometimes(every, run)
		}
	})
}

func (w *world) other(b *broker) *broker {
	return w.brokers[(b.index+1+w.rng.IntN(len(w.brokers)-1))%len(w.brokers)]
}

func (w *world) byName(name string) *broker {
	for _, b := range w.brokers {
		if b.name == name {
			return b
		}
	}
	return nil
}

// crash ends a process and starts another one later.
func (w *world) crash(b *broker, power bool) {
	if b.up {
		b.crash(power)
		w.startLater(b)
	}
}

func (w *world) startLater(b *broker) {
	process := b.process
	w.after(w.between(10*time.Millisecond, 4*time.Second), func() {
		if !b.up && b.process == process {
			b.start()
		}
	})
}

func (w *world) stopCleanly(b *broker) {
	if b.up && !b.paused {
		b.stop()
		w.startLater(b)
	}
}

// blackout cuts the power of all machines at once.
func (w *world) blackout() {
	w.happened("blackout")
	for _, b := range w.brokers {
		w.crash(b, true)
	}
}

// isolate cuts a broker off from all others for a while.
func (w *world) isolate(b *broker) {
	w.happened("isolate", uint64(b.index))
	for _, other := range w.brokers {
		if other != b {
			w.cutLink(b, other)
			w.cutLink(other, b)
		}
	}
}

// cutOneWay loses what one broker sends to another for a while, and nothing the other way.
func (w *world) cutOneWay(b *broker) { w.cutLink(b, w.other(b)) }

func (w *world) cutLink(from, to *broker) {
	l := w.link(from.index, to.index)
	if l.cut {
		return
	}
	l.cut = true
	w.breakConnections(from, to)
	w.after(w.between(50*time.Millisecond, 4*time.Second), func() { l.cut = false })
}

// pause stops a process as SIGSTOP does.
func (w *world) pause(b *broker) {
	if !b.up || b.paused {
		return
	}
	w.happened("pause", uint64(b.index))
	b.paused = true
	process := b.process
	w.after(w.between(50*time.Millisecond, 4*time.Second), func() {
		if b.up && b.process == process {
			b.goOn()
		}
	})
}

// goOn ends a pause: what came meanwhile comes now.
func (b *broker) goOn() {
	b.paused = false
	waiting := b.waiting
	b.waiting = nil
	for _, run := range waiting {
		if b.up {
			b.whenAwake(run)
		}
	}
}

// spoil takes a copy out of what min ISR promises, if the budget of S1 allows one more: at most min ISR - 1 copies of a
// partition are lost or damaged.
func (w *world) spoil(b *broker) bool {
	if w.spoiled > 0 && w.whole() {
		w.spoiled = 0
		w.counts["budgets renewed"]++
	}
	if w.spoiled >= w.plan.minISR-1 || w.plan.async {
		return false
	}
	w.spoiled++
	return true
}

// rotSomething flips a bit in a file of the log of a machine that is off, or of one that runs.
func (w *world) rotSomething(b *broker) {
	ids := w.oracle.ids()
	if len(ids) == 0 || b.up && w.chance(500) {
		return
	}
	id := ids[w.rng.IntN(len(ids))]
	dir := (&replica{id: id}).dir()
	entries, err := b.disk.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return
	}
	name := dir + "/" + entries[w.rng.IntN(len(entries))].Name()
	info, err := b.disk.Stat(name)
	if err != nil || info.Size() == 0 || strings.HasSuffix(name, ".idx") || !w.spoil(b) {
		return
	}
	w.happened("rot", uint64(b.index))
	b.damaged[id] = true
	w.must(b.disk.FlipBit(name, w.rng.Int64N(info.Size()), w.rng.IntN(8)), "flipping a bit")
}

// loseDisk gives a machine an empty disk.
func (w *world) loseDisk(b *broker) {
	if !w.spoil(b) {
		return
	}
	w.happened("disk lost", uint64(b.index))
	if b.up {
		b.end()
	}
	b.newDisk()
	w.startLater(b)
}

// transfer moves a leadership, as an operator does.
func (w *world) transfer(b *broker) {
	ids := w.oracle.ids()
	if len(ids) == 0 || !b.up {
		return
	}
	id := ids[w.rng.IntN(len(ids))]
	to := w.other(b)
	command := &clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: id[:], To: to.name}}}
	w.control.propose(b, &clusterv1.Command{Command: &clusterv1.Command_TransferLeaders{TransferLeaders: command}},
		func(metadata.Result, bool) {})
}

// jump puts a wall clock an hour ahead or back.
func (w *world) jump(b *broker) {
	w.jumped = true
	w.happened("clock jumps", uint64(b.index))
	b.skew = int64(w.between(-time.Hour, time.Hour))
}

// reassign gives a partition other replicas (C7).
func (w *world) reassign(b *broker) {
	ids := w.oracle.ids()
	if len(ids) == 0 || !b.up {
		return
	}
	id := ids[w.rng.IntN(len(ids))]
	command := &clusterv1.Reassign{Partition: id[:]}
	for _, i := range w.rng.Perm(len(w.brokers))[:w.plan.replicas] {
		command.Replicas = append(command.Replicas, w.brokers[i].name)
	}
	w.propose(b, "reassign", &clusterv1.Command{Command: &clusterv1.Command_Reassign{Reassign: command}})
}

// changeMinISR sets another min ISR while the cluster runs. The budget of S1 is that of the smallest.
func (w *world) changeMinISR(b *broker) {
	stream, ok := b.state.Stream("orders")
	if !ok || !b.up {
		return
	}
	n := 1 + w.rng.IntN(w.plan.replicas)
	if w.spoiled > n-1 {
		return
	}
	w.plan.minISR = min(w.plan.minISR, n)
	command := &clusterv1.UpdateStream{
		Uuid: stream.ID[:], Config: &trestlev1.StreamConfig{Name: "orders", MinIsr: proto.Int32(int32(n))},
	}
	w.propose(b, "min ISR", &clusterv1.Command{Command: &clusterv1.Command_UpdateStream{UpdateStream: command}})
}

// propose proposes what an operator asks for.
func (w *world) propose(b *broker, what string, command *clusterv1.Command) {
	w.control.propose(b, command, func(result metadata.Result, known bool) {
		if known && result.Refusal == nil {
			w.happened(what, uint64(b.index))
		}
	})
}

// drain takes a broker's roles, and gives them back or stops it.
func (w *world) drain(b *broker) {
	if !b.up || b.paused {
		return
	}
	w.happened("drain", uint64(b.index))
	propose := func(cancel bool, done answer) {
		command := &clusterv1.DrainBroker{Name: b.name, Epoch: b.brokerEpoch(), Cancel: cancel}
		w.control.propose(b, &clusterv1.Command{Command: &clusterv1.Command_DrainBroker{DrainBroker: command}}, done)
	}
	propose(false, func(metadata.Result, bool) {
		w.after(w.between(0, time.Second), func() {
			if w.chance(500) {
				w.stopCleanly(b)
			}
		})
	})
	w.after(w.between(time.Second, 3*time.Second), func() {
		if b.up {
			propose(true, func(metadata.Result, bool) {})
		}
	})
}

// heal ends all faults: every machine runs, every link is there.
func (w *world) heal() {
	w.healed = true
	w.happened("heal")
	w.plan.calm()
	for _, l := range w.links {
		l.cut = false
	}
	w.nats.heal()
	for _, b := range w.brokers {
		b.skew = 0
		if b.up && b.paused {
			w.step(b.goOn)
		}
	}
	for _, b := range w.brokers {
		w.after(0, func() {
			if !b.up {
				b.start()
			}
		})
	}
	w.every(500*time.Millisecond, func() bool {
		for _, b := range w.brokers {
			if b.up && b.brokerEpoch() != 0 {
				if known, _ := b.state.Broker(b.name); known.Stopping {
					command := &clusterv1.DrainBroker{Name: b.name, Epoch: known.Epoch, Cancel: true}
					w.control.propose(b, &clusterv1.Command{Command: &clusterv1.Command_DrainBroker{DrainBroker: command}},
						func(metadata.Result, bool) {})
				}
			}
		}
		return true
	})
}

// scrub reads everything, so that what rotted is found and mended.
func (w *world) scrub() {
	for _, b := range w.brokers {
		w.step(func() {
			for _, id := range sortedIDs(b.replicas) {
				r := b.replicas[id]
				if err := r.eachBatch(r.log.First(), r.log.End(), func(*batch.Header, []byte) error { return nil }); err != nil && r.bad == nil {
					r.spoilt(err)
				}
			}
		})
	}
}

func durableOf(b *broker, id uuid.UUID) commitlog.Position {
	if b.up {
		if r := b.replicas[id]; r != nil {
			return r.log.Durable()
		}
		return commitlog.Origin
	}
	if held, ok := b.held[id]; ok {
		return held
	}
	return commitlog.Origin
}

// whole says whether no copy is missing anything: every replica is in sync, believed, and holds durably what is committed. What
// is spoilt from then on counts anew.
func (w *world) whole() bool {
	for _, id := range w.oracle.ids() {
		p, _ := w.control.latest().Partition(id)
		if p.Leader == "" || len(p.ISR) != len(p.Replicas) || len(p.Adding)+len(p.Removing) > 0 {
			return false
		}
		for _, name := range p.Replicas {
			b := w.byName(name)
			if r := b.replicas[id]; b.damaged[id] || b.lost[id] || r == nil || r.bad != nil ||
				durableOf(b, id).Before(w.oracle.ledgers[id].committed) {
				return false
			}
		}
	}
	return true
}
