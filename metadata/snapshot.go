package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// A snapshot is snapshotMagic, the version of the form (uint32), the length of the body (uint64), the body, which is a
// trestle.cluster.v1.StateSnapshot, and the CRC-32C of all that (uint32). Numbers are little-endian.
const (
	snapshotMagic   = "TRSTATE\n"
	snapshotVersion = 1
	snapshotHead    = len(snapshotMagic) + 4 + 8
	// MaxSnapshotBytes is the size of the largest snapshot that Restore reads; the limits of the state keep those that are
	// written far below.
	MaxSnapshotBytes = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrSnapshotCorrupt says that a snapshot is damaged, or none.
	ErrSnapshotCorrupt = errors.New("the snapshot of the metadata is damaged")
	// ErrSnapshotLater says that a snapshot was written by a later version.
	ErrSnapshotLater = errors.New("the snapshot of the metadata is of a later version; run that version, or a later one")
)

// WriteTo writes the state as a snapshot. Equal states are equal bytes. It may run while later states are made.
func (s *State) WriteTo(w io.Writer) (int64, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.snapshot())
	if err != nil {
		return 0, fmt.Errorf("encoding the snapshot at index %d: %w", s.index, err)
	}
	out := make([]byte, 0, snapshotHead+len(body)+4)
	out = append(out, snapshotMagic...)
	out = binary.LittleEndian.AppendUint32(out, snapshotVersion)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(body)))
	out = append(out, body...)
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
	n, err := w.Write(out)
	if err != nil {
		return int64(n), fmt.Errorf("writing the snapshot at index %d: %w", s.index, err)
	}
	return int64(n), nil
}

// Restore reads a snapshot that WriteTo wrote, to the end of r. The error is ErrSnapshotCorrupt, ErrSnapshotLater or one of
// r. What it returns passes Check.
func Restore(r io.Reader) (*State, error) {
	all, err := io.ReadAll(io.LimitReader(r, MaxSnapshotBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading a snapshot: %w", err)
	}
	body, err := snapshotBody(all)
	if err != nil {
		return nil, err
	}
	var m clusterv1.StateSnapshot
	if err := proto.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: its body does not parse", ErrSnapshotCorrupt)
	}
	if (laterFields{}).found(m.ProtoReflect()) {
		return nil, fmt.Errorf("%w: it has fields or values that this one does not know", ErrSnapshotLater)
	}
	s, err := restored(&m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshotCorrupt, err)
	}
	if err := s.consistent(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshotCorrupt, err)
	}
	return s, nil
}

// laterFields finds fields and enum values that this version does not know, as later does; it remembers which fields of a
// message can hold any, since a snapshot has many messages of few kinds.
type laterFields map[protoreflect.MessageDescriptor][]protoreflect.FieldDescriptor

func (l laterFields) found(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	kind := m.Descriptor()
	fields, known := l[kind]
	if !known {
		for i := range kind.Fields().Len() {
			if f := kind.Fields().Get(i); f.Enum() != nil || f.Message() != nil && (!f.IsMap() || f.MapValue().Message() != nil) {
				fields = append(fields, f)
			}
		}
		l[kind] = fields
	}
	for _, f := range fields {
		switch {
		case !m.Has(f):
		case f.IsList() && f.Message() != nil:
			list := m.Get(f).List()
			for i := range list.Len() {
				if l.found(list.Get(i).Message()) {
					return true
				}
			}
		case !f.IsList() && !f.IsMap() && f.Message() != nil:
			if l.found(m.Get(f).Message()) {
				return true
			}
		case !f.IsList() && !f.IsMap():
			if f.Enum().Values().ByNumber(m.Get(f).Enum()) == nil {
				return true
			}
		default:
			if later(m) { // no message of a snapshot has such a field yet
				return true
			}
		}
	}
	return false
}

// snapshotBody checks the frame and returns what it holds.
func snapshotBody(all []byte) ([]byte, error) {
	switch {
	case len(all) > MaxSnapshotBytes:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrSnapshotCorrupt, MaxSnapshotBytes)
	case len(all) < snapshotHead+4:
		return nil, fmt.Errorf("%w: it has %d bytes", ErrSnapshotCorrupt, len(all))
	case string(all[:len(snapshotMagic)]) != snapshotMagic:
		return nil, fmt.Errorf("%w: it begins with %x", ErrSnapshotCorrupt, all[:len(snapshotMagic)])
	}
	checked, sum := all[:len(all)-4], binary.LittleEndian.Uint32(all[len(all)-4:])
	if crc32.Checksum(checked, castagnoli) != sum && !mutant("metadata-snapshot-unchecked") {
		return nil, fmt.Errorf("%w: its checksum does not match", ErrSnapshotCorrupt)
	}
	if v := binary.LittleEndian.Uint32(all[len(snapshotMagic):]); v != snapshotVersion {
		return nil, fmt.Errorf("%w: it has version %d and this one reads %d", ErrSnapshotLater, v, snapshotVersion)
	}
	if n := binary.LittleEndian.Uint64(all[len(snapshotMagic)+4:]); n != uint64(len(checked)-snapshotHead) {
		return nil, fmt.Errorf("%w: its body has %d bytes and not %d", ErrSnapshotCorrupt, len(checked)-snapshotHead, n)
	}
	return checked[snapshotHead:], nil
}
