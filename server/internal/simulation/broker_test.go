package simulation_test

import (
	"errors"
	"fmt"
	"path"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

const (
	dataDir    = "/data"
	marksFile  = "/data/marks"
	trashDir   = "/data/trash"
	cleanFile  = "/data/clean"
	partitions = "/data/partitions"
)

// broker is a machine with a disk, and now and then a process on it.
type broker struct {
	w       *world
	index   int
	name    string
	disk    *vfs.Mem
	storage uuid.UUID

	up      bool
	paused  bool
	waiting []func() // what happens when the pause ends
	process int      // raised by every start
	skew    int64    // of the wall clock, nanoseconds
	booted  int64    // when the monotonic clock began

	incarnation uuid.UUID
	clean       uint64 // broker epoch that the last clean stop left
	state       *metadata.State
	applied     uint64
	applying    bool
	onApplied   map[uint64][]func()
	registering bool

	files    *commitlog.Files
	marks    *commitlog.Marks
	replicas map[uuid.UUID]*replica
	held     map[uuid.UUID]commitlog.Position // durable ends when the process ended
	damaged  map[uuid.UUID]bool               // copies in which a fault of the disk flipped a bit, until they are replaced
	made     map[uuid.UUID]bool               // partitions that ever had a folder on this disk: a durable list
	lost     map[uuid.UUID]bool               // copies that went with a disk, until the metadata counts on them no more
}

func newBroker(w *world, index int) *broker {
	b := &broker{w: w, index: index, name: fmt.Sprintf("b%d", index), state: metadata.New()}
	b.newDisk()
	return b
}

// newDisk gives the machine an empty disk.
func (b *broker) newDisk() {
	b.disk = vfs.NewMem(b.w.rng.Uint64())
	b.storage = b.w.uuid()
	b.held, b.damaged = map[uuid.UUID]commitlog.Position{}, map[uuid.UUID]bool{}
	b.lost, b.made = map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for _, id := range b.w.oracle.ids() {
		b.lost[id] = true
	}
	b.w.must(b.disk.MkdirAll(partitions), "making the folder")
	b.w.must(b.disk.MkdirAll(trashDir), "making the folder")
	b.w.must(b.disk.SyncDir("/"), "making the folder")
	b.w.must(b.disk.SyncDir(dataDir), "making the folder")
	b.clean = 0
}

func (w *world) uuid() (id uuid.UUID) {
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	return id
}

// clock is the broker's wall clock, monotonic a clock that does not jump.
func (b *broker) clock() int64     { return b.w.now + b.skew }
func (b *broker) monotonic() int64 { return b.w.now - b.booted + 1 }

// whenAwake runs now, or when a paused process goes on.
func (b *broker) whenAwake(run func()) {
	if b.paused {
		b.waiting = append(b.waiting, run)
		return
	}
	run()
}

// start begins a process: it recovers what is on the disk and asks to be registered.
func (b *broker) start() {
	b.process++
	b.up, b.paused, b.waiting, b.registering = true, false, nil, false
	b.booted, b.incarnation = b.w.now, b.w.uuid()
	b.onApplied = map[uint64][]func(){}
	b.replicas = map[uuid.UUID]*replica{}
	b.recoverState()
	b.files = commitlog.NewFiles(b.disk, 16)
	var err error
	b.marks, err = commitlog.OpenMarks(b.disk, marksFile)
	b.check(err, "opening the marks")
	b.clean = b.takeCleanToken()
	entries, err := b.disk.ReadDir(partitions)
	b.w.must(err, "listing the partitions of %s", b.name)
	for _, e := range entries {
		if id, err := uuid.Parse(e.Name()); err == nil {
			openReplica(b, id)
		}
	}
	b.w.happened("start", uint64(b.index))
	process := b.process
	alive := func() bool { return b.up && b.process == process }
	b.w.every(250*time.Millisecond, func() bool {
		if alive() {
			b.whenAwake(b.heartbeat)
		}
		return alive()
	})
	b.w.every(100*time.Millisecond, func() bool {
		if alive() {
			b.whenAwake(b.tick)
		}
		return alive()
	})
	b.reconcile()
	b.catchUp()
}

// recoverState takes up the state where a snapshot was taken, some time before the end of what was applied.
func (b *broker) recoverState() {
	b.applied = b.w.rng.Uint64N(b.applied + 1)
	b.state = b.w.control.states[b.applied]
	b.applying = false
}

// end stops the process: its memory is gone.
func (b *broker) end() {
	for id, r := range b.replicas {
		if delete(b.held, id); r.log != nil && r.log.First().Before(r.log.Durable()) { // one that was emptied holds nothing
			b.held[id] = r.log.Durable()
		}
	}
	b.up, b.paused, b.waiting = false, false, nil
	b.replicas, b.onApplied = nil, nil
	for _, other := range b.w.brokers {
		if other != b && other.up {
			other := other
			b.w.after(b.w.between(0, 10*time.Millisecond), func() {
				if other.up {
					other.whenAwake(func() { other.connectionLost(b.name) })
				}
			})
		}
	}
}

// crash ends the process, with the power or without, and a fresh disk is what is left of the old one.
func (b *broker) crash(power bool) {
	b.w.happened("crash", uint64(b.index))
	b.end()
	if power {
		b.disk = b.disk.Crash(vfs.KeepRandom)
	} else {
		b.disk = b.disk.Kill()
	}
}

// stop ends the process as a person would: everything synced, a word left that it was clean.
func (b *broker) stop() {
	b.w.happened("stop", uint64(b.index))
	epoch := b.brokerEpoch()
	for _, r := range b.replicas {
		b.check(r.log.Close(), "closing a log")
	}
	b.check(b.marks.Close(), "closing the marks")
	if epoch != 0 {
		b.leaveCleanToken(epoch)
	}
	b.end()
	b.disk = b.disk.Kill()
}

// leaveCleanToken says durably that nothing was in doubt when the process ended.
func (b *broker) leaveCleanToken(epoch uint64) {
	_ = b.disk.Remove(cleanFile)
	file, err := b.disk.Create(cleanFile)
	b.w.must(err, "leaving the clean token")
	_, err = fmt.Fprintf(&fileWriter{file: file}, "%d", epoch)
	b.w.must(err, "leaving the clean token")
	b.check(file.SyncData(), "leaving the clean token")
	b.w.must(file.Close(), "leaving the clean token")
	b.w.must(b.disk.SyncDir(path.Dir(cleanFile)), "leaving the clean token")
}

// takeCleanToken reads the token and removes it durably before anything is served (C5).
func (b *broker) takeCleanToken() (epoch uint64) {
	file, err := b.disk.Open(cleanFile)
	if err != nil {
		return 0
	}
	buf := make([]byte, 32)
	n, _ := file.ReadAt(buf, 0)
	_, _ = fmt.Sscanf(string(buf[:n]), "%d", &epoch)
	b.w.must(file.Close(), "reading the clean token")
	b.w.must(b.disk.Remove(cleanFile), "removing the clean token")
	b.w.must(b.disk.SyncDir(path.Dir(cleanFile)), "removing the clean token")
	return epoch
}

// fileWriter writes to a file from its start on.
type fileWriter struct {
	file vfs.File
	at   int64
}

func (f *fileWriter) Write(p []byte) (int, error) {
	n, err := f.file.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

// brokerEpoch is that of this process' own registration, 0 before it was applied here (3.6).
func (b *broker) brokerEpoch() uint64 {
	if known, ok := b.state.Broker(b.name); ok && !known.Fenced &&
		(known.Incarnation == b.incarnation || mutant("simulation-role-before-registration")) {
		return known.Epoch
	}
	return 0
}

// register asks for a broker epoch as long as there is none.
func (b *broker) register() {
	if b.registering || b.brokerEpoch() != 0 {
		return
	}
	known, _ := b.state.Broker(b.name)
	command := &clusterv1.RegisterBroker{
		Name: b.name, Incarnation: b.incarnation[:], Storage: b.storage[:], RaftId: b.name + "@1",
		ClientAddress: b.name + ":1", PeerAddress: b.name + ":2",
		PreviousEpoch: known.Epoch, CleanEpoch: b.clean, MinFeatureLevel: 1, MaxFeatureLevel: 1, StateIndex: b.state.Index(),
	}
	for _, id := range sortedIDs(b.replicas) {
		command.Reports = append(command.Reports, b.replicas[id].report())
	}
	for p := range b.state.PartitionsOn(b.name) { // the process ended before it made the folder: nothing is lost
		if b.replicas[p.ID] == nil && !b.made[p.ID] {
			command.Reports = append(command.Reports, &clusterv1.PartitionReport{Partition: p.ID[:], State: clusterv1.CopyState_COPY_STATE_OK})
		}
	}
	b.registering = true
	b.w.control.propose(b, &clusterv1.Command{Command: &clusterv1.Command_RegisterBroker{RegisterBroker: command}},
		func(metadata.Result, bool) { b.registering = false })
}

// catchUp applies what was decided, some time after it was.
func (b *broker) catchUp() {
	if !b.up || b.applying || b.applied == uint64(len(b.w.control.entries)) {
		return
	}
	b.applying = true
	process := b.process
	lag := b.w.between(100*time.Microsecond, 4*time.Millisecond)
	if b.w.chance(b.w.plan.slowApply) {
		lag = b.w.between(0, 3*time.Second)
	}
	b.w.after(lag, func() {
		if b.process != process || !b.up {
			return
		}
		b.whenAwake(func() {
			b.applying = false
			if b.w.control.reaches(b) {
				b.applyTo(uint64(len(b.w.control.entries)))
				return
			}
			b.applying = true
			b.w.after(100*time.Millisecond, func() {
				if b.process == process && b.up {
					b.applying = false
					b.catchUp()
				}
			})
		})
	})
}

// applyTo applies entries up to an index, runs what waited for them, and makes the replicas fit the state.
func (b *broker) applyTo(index uint64) {
	from := b.applied
	b.applied = index
	b.state = b.w.control.states[index]
	b.reconcile()
	for i := from + 1; i <= index && b.up; i++ {
		for _, run := range b.onApplied[i] {
			run()
		}
		delete(b.onApplied, i)
	}
}

// whenApplied runs once the entry is applied here.
func (b *broker) whenApplied(index uint64, run func()) {
	if !b.up {
		return
	}
	if b.applied >= index {
		run()
		return
	}
	b.onApplied[index] = append(b.onApplied[index], run)
}

func (b *broker) heartbeat() {
	if b.brokerEpoch() != 0 {
		b.w.control.heartbeat(b)
	}
}

func (b *broker) heartbeatAnswered(sent int64) {
	for _, id := range sortedIDs(b.replicas) {
		if r := b.replicas[id]; r.leader != nil {
			r.leader.Heartbeat(sent)
			b.w.oracle.leases(r)
		}
	}
}

// tick does what time asks for.
func (b *broker) tick() {
	b.register()
	for _, id := range sortedIDs(b.replicas) {
		if r := b.replicas[id]; r != nil {
			r.tick()
		}
		if !b.up {
			return
		}
	}
	if b.w.chance(100) {
		b.check(b.marks.Flush(), "flushing the marks")
	}
}

// check ends the process if the disk failed: a failed sync is final (1.10). Any other error ends the simulation.
func (b *broker) check(err error, what string) {
	if errors.Is(err, commitlog.ErrFault) || errors.Is(err, syscall.EIO) {
		b.diskFailed(err)
	}
	b.w.must(err, "%s of %s", what, b.name)
}

func (b *broker) diskFailed(err error) {
	b.w.log("%s ends: %v", b.name, err)
	b.w.happened("disk failed", uint64(b.index))
	b.end()
	b.disk = b.disk.Kill()
	b.w.after(b.w.between(0, 2*time.Second), func() {
		if !b.up {
			b.start()
		}
	})
	panic(processEnded{})
}

func (b *broker) connectionLost(name string) {
	for _, id := range sortedIDs(b.replicas) {
		b.replicas[id].connectionLost(name)
	}
}
