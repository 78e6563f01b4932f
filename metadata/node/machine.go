package node

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// Machine is the replicated state. Its methods are called by one goroutine at a time; what they leave behind may be
// read by others, which is the machine's affair.
type Machine interface {
	// Apply applies a committed command and returns the encoded result, which goes back to the proposer. It must be
	// deterministic: the same commands in the same order give the same state and the same results on every broker. It
	// must not block and must touch no file. index is the command's raft index; indexes rise, with gaps.
	Apply(index uint64, command []byte) []byte
	// Snapshot returns a copy of the state that later commands do not change (copy on write). It is written by another
	// goroutine, while Apply goes on.
	Snapshot() io.WriterTo
	// Restore replaces the state by one that a snapshot's WriteTo wrote. With an error the state is as it was.
	Restore(r io.Reader) error
}

// machineIndexBytes is how many bytes in front of the machine's state tell the index that it stands at.
const machineIndexBytes = 8

// replica feeds the machine with what raft has committed. Raft calls it from one goroutine.
type replica struct {
	machine  Machine
	progress *progress
	growth   *growth
	stop     *failStop
}

var (
	_ raft.FSM                = (*replica)(nil)
	_ raft.ConfigurationStore = (*replica)(nil)
)

// Apply applies one command; its result is a []byte.
func (r *replica) Apply(entry *raft.Log) any {
	result := r.machine.Apply(entry.Index, entry.Data)
	r.progress.reach(entry.Index)
	r.growth.add(len(entry.Data))
	return result
}

// StoreConfiguration notes that a change of the membership has been passed. The machine has no part in it.
func (r *replica) StoreConfiguration(index uint64, _ raft.Configuration) { r.progress.reach(index) }

// Snapshot takes the machine's copy.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	return &frozen{index: r.progress.index(), state: r.machine.Snapshot(), growth: r.growth, taken: r.growth.begin()}, nil
}

// Restore replaces the machine's state, at the start or by the leader's snapshot. If it fails then this broker cannot
// follow the cluster any more, so that the node stops.
func (r *replica) Restore(source io.ReadCloser) error {
	var index [machineIndexBytes]byte
	_, err := io.ReadFull(source, index[:])
	state := &counted{from: source}
	if err == nil {
		err = r.machine.Restore(state)
	}
	if err != nil {
		err = fmt.Errorf("the metadata snapshot cannot be read, was it made by a newer version? upgrade the broker: %w", err)
		r.stop.report(err)
		return err
	}
	r.progress.reach(binary.BigEndian.Uint64(index[:]))
	r.growth.begin()
	r.growth.written(state.bytes)
	return nil
}

// counted counts what is read.
type counted struct {
	from  io.Reader
	bytes int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.bytes += int64(n)
	return n, err
}

// frozen is a snapshot on its way to the disk.
type frozen struct {
	index  uint64
	state  io.WriterTo
	growth *growth
	taken  int64 // of growth; 0: the snapshot is written
}

// Persist writes it. Raft cancels the sink if it fails.
func (f *frozen) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(binary.BigEndian.AppendUint64(nil, f.index)); err != nil {
		return err
	}
	size, err := f.state.WriteTo(sink)
	if err != nil {
		return fmt.Errorf("write the metadata snapshot: %w", err)
	}
	if err := sink.Close(); err != nil {
		return err
	}
	f.growth.written(size)
	f.taken = 0
	return nil
}

// Release is called when raft is done with it, whether it was written or not.
func (f *frozen) Release() { f.growth.over(f.taken) }
