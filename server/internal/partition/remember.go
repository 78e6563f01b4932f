package partition

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
)

// remember makes the memory of what was stored: from the newest snapshot that is of this log, and the batches after it;
// without one from all batches that may still count. What is damaged is passed over, and told: its ids are not known.
func (p *Partition) remember() error {
	end := p.log.End()
	_, p.memory.time = p.log.LastEpoch()
	p.memory.seq = end.Seq - 1
	p.memory.state = newMemory(&p.config)
	if p.config.Dedup == nil {
		return nil
	}
	reader, err := p.rememberSnapshot(end)
	if err == nil {
		err = p.rememberBatches(reader, end)
	}
	if err != nil {
		p.memory.state.Close()
		return fmt.Errorf("finding out what was stored: %w", err)
	}
	return nil
}

// rememberSnapshot loads a snapshot, if there is one, and returns a reader of what it does not know.
func (p *Partition) rememberSnapshot(end commitlog.Position) (*commitlog.Reader, error) {
	seq, found, err := p.loadSnapshot(end)
	if err != nil {
		return nil, err
	}
	if found {
		first := p.log.First()
		return p.log.ReadFromPosition(commitlog.Position{Seq: max(seq+1, first.Seq), Offset: first.Offset}), nil
	}
	if p.log.SizeBytes() <= firstChunk { // to read it all costs less than to find out where to begin
		return p.log.ReadFromPosition(p.log.First()), nil
	}
	horizon := max(dedup.DefaultIdleNanos, p.config.Settings.windowNanos())
	from, err := p.log.OffsetAt(p.memory.time - horizon)
	if err != nil || from <= p.log.Start() {
		p.problem(err)
		// What retention hides from readers still counts, as long as it is there.
		return p.log.ReadFromPosition(p.log.First()), nil
	}
	return p.log.ReadFrom(from), nil
}

// loadSnapshot makes the newest snapshot of this log that can be loaded the memory, and returns the seq of the last batch
// in it. It removes those of batches that the log lost, before others take their places.
func (p *Partition) loadSnapshot(end commitlog.Position) (seq uint64, found bool, err error) {
	fsys, folder := p.log.FS(), p.config.Dedup.Folder
	if folder == "" {
		return 0, false, nil
	}
	names, err := snapshotsIn(fsys, folder)
	if err != nil {
		return 0, false, err
	}
	var removed bool
	for _, name := range names {
		state, err := p.readSnapshot(fsys, name, end)
		if err != nil {
			return 0, false, err
		}
		if state != nil {
			p.memory.state.Close()
			p.memory.state = state
			seq, found = name.Seq, true
			break
		}
		removed = true
		if err := fsys.Remove(filepath.Join(folder, snapshotName(name))); err != nil {
			return 0, false, err
		}
	}
	if removed {
		err = fsys.SyncDir(folder)
	}
	return seq, found, err
}

// readSnapshot loads a snapshot; nil if it is not of this log, or cannot be loaded.
func (p *Partition) readSnapshot(fsys vfs.FS, name commitlog.BatchName, end commitlog.Position) (*dedup.State, error) {
	if name.Seq >= end.Seq {
		return nil, nil
	}
	stored, found, err := p.log.NameOf(name.Seq)
	if err != nil || found && stored != name { // one that is not found was deleted or compacted away
		return nil, nil //nolint:nilerr // what is damaged is read around, without the snapshot
	}
	file, err := fsys.Open(filepath.Join(p.config.Dedup.Folder, snapshotName(name)))
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.NewSectionReader(file, 0, size))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	state, seq, err := dedup.Load(p.config.dedupOptions(), b)
	if err == nil && seq != name.Seq {
		state.Close()
		err = fmt.Errorf("it is of seq %d and not of %d", seq, name.Seq)
	}
	if err != nil {
		p.problem(fmt.Errorf("a snapshot of dedup state is left out: %w", err))
		return nil, nil
	}
	return state, nil
}

// rememberBatches appends to the memory what the reader gives.
func (p *Partition) rememberBatches(reader *commitlog.Reader, end commitlog.Position) error {
	buf := make([]byte, min(firstChunk, p.log.SizeBytes())) // a start does this for each log, and most are small
	for {
		run, err := reader.Read(buf, end)
		var large *commitlog.TooLargeError
		switch {
		case errors.As(err, &large) && large.SizeBytes > len(buf):
			buf = make([]byte, large.SizeBytes)
			continue
		case commitlog.IsDamage(err):
			p.problem(fmt.Errorf("message ids of damaged batches are not known: %w", err))
			if _, err := reader.SkipDamage(); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case len(run.Bytes) == 0:
			return nil
		}
		p.memory.bytes += int64(len(run.Bytes))
		for b := run.Bytes; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil {
				return err
			}
			if err := p.rememberBatch(&h, b); err != nil {
				return err
			}
			b = b[h.Size:]
		}
		p.memory.state.Committed(run.End.Seq - 1) // with one replica all that is there will be, and what has expired is let go
	}
}

func (p *Partition) rememberBatch(h *batch.Header, b []byte) error {
	var stored []dedup.Stored
	if h.Attributes&batch.HasMessageIDs != 0 && !h.Control() {
		plain, err := commitlog.Unpack(nil, h, b, p.config.Codec)
		if err != nil {
			return err
		}
		ph, err := batch.ParseHeader(plain)
		if err != nil {
			return err
		}
		if stored, err = storedIDs(p.config.Dedup.Key, &ph, plain); err != nil {
			return err
		}
	}
	p.memory.state.Append(dedup.Batch{
		Seq: h.Seq, Time: h.Time, BaseOffset: h.BaseOffset, Count: uint32(h.LastOffsetDelta + 1),
		Producer: h.ProducerID, ProducerEpoch: h.ProducerEpoch, ProducerSequence: h.ProducerSequence,
	}, stored)
	return nil
}

// storedIDs are the message ids of a stored batch that is not packed.
func storedIDs(key dedup.Key, h *batch.Header, b []byte) (stored []dedup.Stored, err error) {
	records, err := h.RecordsOf(b)
	if err != nil {
		return nil, err
	}
	var r batch.Record
	for {
		delta, ok, err := records.Next(&r)
		if err != nil || !ok {
			return stored, err
		}
		if id := key.ID(r.MessageID()); id != (dedup.ID{}) {
			stored = append(stored, dedup.Stored{Offset: h.BaseOffset + int64(delta), ID: id})
		}
	}
}
