package dedup

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// A snapshot is, little endian:
//
//	magic "TDDP" | version u32 | seq u64 | time i64 | forgotten i64 | number of ids u64 | number of producers u64
//	ids, in the order of the log: hash 16 bytes | seq uvarint | time varint | offset varint, each less the one before
//	producers, by rising id: id u64 | epoch u32 | batches u8 | seq u64 | time i64, and of each batch, the oldest first:
//	    sequence u32 | count u32 | offset i64
//	CRC-32C of all before it u32
const (
	snapshotMagic   = "TDDP"
	snapshotVersion = 1
	snapshotHeader  = 4 + 4 + 5*8
	snapshotCRC     = 4

	minIDBytes      = 16 + 3
	producerBytes   = 8 + 4 + 1 + 8 + 8
	itemBytes       = 4 + 4 + 8
	minProducerSize = producerBytes + itemBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save appends a snapshot of the state to dst. It stands for the last batch appended, of the given sequence and append
// time, after which it is named; it is saved at each roll of a segment. Replicas that appended the same batches with the
// same settings, and had memory enough, save the same bytes, whatever they have heard about commits.
func (s *State) Save(dst []byte, seq uint64, time int64) []byte {
	start := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(time))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(max(s.window.forgotten, before(time, s.window.nanos))))
	counts := len(dst)
	dst = append(dst, make([]byte, 16)...)
	dst, ids := s.window.save(dst, time)
	dst, producers := s.producers.save(dst, time)
	binary.LittleEndian.PutUint64(dst[counts:], ids)
	binary.LittleEndian.PutUint64(dst[counts+8:], producers)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func (w *Window) save(dst []byte, now int64) (saved []byte, n uint64) {
	var last entry
	for position := w.entries.front; position < w.entries.end; position++ {
		e := w.entries.get(position)
		if age(e.time, now) >= w.nanos {
			continue
		}
		dst = append(dst, e.id[:]...)
		dst = binary.AppendUvarint(dst, e.seq-last.seq)
		dst = binary.AppendVarint(dst, e.time-last.time)
		dst = binary.AppendVarint(dst, e.offset-last.offset)
		last = e
		n++
	}
	return dst, n
}

func (s *Producers) save(dst []byte, now int64) (saved []byte, n uint64) {
	for _, id := range slices.Sorted(maps.Keys(s.known)) {
		p := s.known[id]
		if age(p.time, now) >= s.idle {
			continue
		}
		dst = binary.LittleEndian.AppendUint64(dst, p.id)
		dst = binary.LittleEndian.AppendUint32(dst, p.epoch)
		dst = append(dst, byte(p.n))
		dst = binary.LittleEndian.AppendUint64(dst, p.seq)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(p.time))
		for _, stored := range p.items[:p.n] {
			dst = binary.LittleEndian.AppendUint32(dst, stored.sequence)
			dst = binary.LittleEndian.AppendUint32(dst, stored.count)
			dst = binary.LittleEndian.AppendUint64(dst, uint64(stored.offset))
		}
		n++
	}
	return dst, n
}

// Load makes a state of a snapshot; seq is that of the last batch in it. The batches after it are to be appended. The
// options are those of now: if the window has become longer, EffectiveNanos tells of what is missing. An error is
// ErrRebuild.
func Load(options Options, snapshot []byte) (s *State, seq uint64, err error) {
	r, err := checkSnapshot(snapshot)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: snapshot of dedup state: %w", ErrRebuild, err)
	}
	s = New(options)
	if err := s.load(r); err != nil {
		s.Close()
		return nil, 0, fmt.Errorf("%w: snapshot of dedup state: %w", ErrRebuild, err)
	}
	return s, s.tide.seq, nil
}
