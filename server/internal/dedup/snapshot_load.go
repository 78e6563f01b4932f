package dedup

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// checkSnapshot looks at what holds for the whole and returns a decoder of the content.
func checkSnapshot(b []byte) (*decoder, error) {
	if len(b) < snapshotHeader+snapshotCRC || string(b[:4]) != snapshotMagic {
		return nil, fmt.Errorf("%d bytes are not one", len(b))
	}
	content, sum := b[:len(b)-snapshotCRC], binary.LittleEndian.Uint32(b[len(b)-snapshotCRC:])
	if got := crc32.Checksum(content, castagnoli); got != sum && !mutant("dedup-crc-ignored") {
		return nil, fmt.Errorf("its crc is %08x, it says %08x", got, sum)
	}
	if version := binary.LittleEndian.Uint32(b[4:]); version != snapshotVersion {
		return nil, fmt.Errorf("its version is %d, this program knows %d", version, snapshotVersion)
	}
	return &decoder{rest: content[8:]}, nil
}

// load fills an empty state.
func (s *State) load(r *decoder) error {
	seq, time, forgotten := r.uint64(), int64(r.uint64()), int64(r.uint64())
	ids, producers := r.uint64(), r.uint64()
	if forgotten > time {
		return fmt.Errorf("it knows nothing up to %d, after its last batch at %d", forgotten, time)
	}
	if most := uint64(len(r.rest) / minIDBytes); ids > most {
		return fmt.Errorf("%d ids in %d bytes", ids, len(r.rest))
	}
	last := mark{seq: seq, time: time}
	s.window.forgotten = forgotten
	if err := s.window.load(r, ids, last); err != nil {
		return err
	}
	if most := uint64(len(r.rest) / minProducerSize); producers > most {
		return fmt.Errorf("%d producers in %d bytes", producers, len(r.rest))
	}
	if err := s.producers.load(r, producers, last); err != nil {
		return err
	}
	if len(r.rest) > 0 {
		return fmt.Errorf("%d bytes follow its end", len(r.rest))
	}
	s.tide = tide{seq: seq, time: time, last: last}
	return nil
}

func (w *Window) load(r *decoder, n uint64, end mark) error {
	var last entry
	for i := range n {
		e := entry{
			id: ID(r.bytes(16)), seq: last.seq + r.uvarint(),
			time: last.time + r.varint(), offset: last.offset + r.varint(),
		}
		switch {
		case r.short:
			return errors.New("it ends among the ids")
		case e.id == ID{}, e.seq < last.seq, e.seq > end.seq, i > 0 && e.time < last.time, e.time > end.time:
			return fmt.Errorf("id %d is of seq %d and time %d, after %d and %d", i, e.seq, e.time, last.seq, last.time)
		}
		w.Add(e.id, e.offset, e.seq, e.time)
		last = e
	}
	w.settled = end.seq
	return nil
}

func (s *Producers) load(r *decoder, n uint64, end mark) error {
	all := make([]*producer, 0, n)
	for i := range n {
		p := &producer{id: r.uint64(), epoch: r.uint32(), n: int(r.byte()), seq: r.uint64(), time: int64(r.uint64())}
		if p.n == 0 || p.n > remembered {
			return fmt.Errorf("producer %d with %d batches", i, p.n)
		}
		for k := range p.n {
			p.items[k] = item{sequence: r.uint32(), count: r.uint32(), offset: int64(r.uint64())}
		}
		switch {
		case r.short:
			return errors.New("it ends among the producers")
		case p.id == 0, i > 0 && p.id <= all[i-1].id, p.seq > end.seq, p.time > end.time:
			return fmt.Errorf("producer %d is %d, with a batch of seq %d and time %d", i, p.id, p.seq, p.time)
		}
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b *producer) int { return cmp.Compare(a.seq, b.seq) })
	for _, p := range all[max(0, len(all)-s.most):] {
		s.known[p.id] = p
		s.order.push(p)
	}
	s.floor = end.seq
	return nil
}

// decoder reads from the front of what is left. Past the end it reads zeros and is short from then on.
type decoder struct {
	rest  []byte
	short bool
}

var zeros [16]byte

// bytes reads at most 16 bytes.
func (r *decoder) bytes(n int) []byte {
	if len(r.rest) < n {
		r.rest, r.short = nil, true
		return zeros[:n]
	}
	read := r.rest[:n]
	r.rest = r.rest[n:]
	return read
}

func (r *decoder) byte() byte     { return r.bytes(1)[0] }
func (r *decoder) uint32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }
func (r *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.short = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *decoder) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.rest, r.short = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
