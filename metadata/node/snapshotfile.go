package node

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// A snapshot is one file, <index>-<term>.snap, both in 20 digits:
//
//	magic 8 bytes | state | footer (JSON) | footer bytes u32 | CRC-32C u32 over all before it
//
// numbers big-endian. It is written under another name, synced and renamed.
const (
	snapshotMagic      = "TRSNAP1\n"
	snapshotSuffix     = ".snap"
	snapshotTailBytes  = 4 + checksumBytes
	maxSnapshotFooter  = 1 << 20
	snapshotBufferSize = 64 << 10
)

// snapshotFooter is what raft wants to know about a snapshot.
type snapshotFooter struct {
	Index              uint64        `json:"index"`
	Term               uint64        `json:"term"`
	Configuration      []raft.Server `json:"configuration"`
	ConfigurationIndex uint64        `json:"configuration_index"`
	Size               int64         `json:"size"` // of the state, in bytes
}

func (f *snapshotFooter) name() string { return fmt.Sprintf("%020d-%020d", f.Index, f.Term) }

func (f *snapshotFooter) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: f.name(), Index: f.Index, Term: f.Term, Size: f.Size,
		Configuration: raft.Configuration{Servers: f.Configuration}, ConfigurationIndex: f.ConfigurationIndex,
	}
}

// snapshotSink writes one snapshot. Its errors are reported to the node as well: a disk that cannot take a snapshot
// cannot be trusted with the log either.
type snapshotSink struct {
	store  *snapshotStore
	footer snapshotFooter
	file   *os.File
	sum    hash.Hash32
	out    *bufio.Writer
	closed bool
}

var _ raft.SnapshotSink = (*snapshotSink)(nil)

func newSnapshotSink(store *snapshotStore, footer snapshotFooter) (*snapshotSink, error) {
	s := &snapshotSink{store: store, footer: footer, sum: crc32.New(castagnoli)}
	// A name of its own: a snapshot may be installed while this node writes one of the same state.
	file, err := os.CreateTemp(store.folder, footer.name()+".*"+newSuffix)
	if err != nil {
		return nil, err
	}
	s.file, s.out = file, bufio.NewWriterSize(io.MultiWriter(file, s.sum), snapshotBufferSize)
	if _, err := s.out.WriteString(snapshotMagic); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// ID is the name by which raft opens the snapshot once it is closed.
func (s *snapshotSink) ID() string { return s.footer.name() }

// Write appends to the state.
func (s *snapshotSink) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	s.footer.Size += int64(n)
	return n, s.store.failed(s.file.Name(), err)
}

// Close makes the snapshot durable and the newest one, and removes those beyond the number that is kept.
func (s *snapshotSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.finish()
	if closing := s.file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = s.store.publish(s.file.Name(), &s.footer)
	}
	return s.store.failed(s.file.Name(), err)
}

func (s *snapshotSink) finish() error {
	footer, err := json.Marshal(&s.footer)
	if err != nil {
		return err
	}
	if len(footer) > maxSnapshotFooter {
		return fmt.Errorf("footer of %d bytes exceeds %d", len(footer), maxSnapshotFooter)
	}
	footer = binary.BigEndian.AppendUint32(footer, uint32(len(footer)))
	if _, err := s.out.Write(footer); err != nil {
		return err
	}
	if err := s.out.Flush(); err != nil {
		return err
	}
	if _, err := s.file.Write(binary.BigEndian.AppendUint32(nil, s.sum.Sum32())); err != nil {
		return err
	}
	return s.file.Sync()
}

// Cancel drops what was written.
func (s *snapshotSink) Cancel() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// snapshotReader reads the state of one snapshot.
type snapshotReader struct {
	io.Reader
	file *os.File
}

// Close closes the file.
func (r *snapshotReader) Close() error { return r.file.Close() }

// openSnapshot verifies a whole snapshot and returns its footer and its state.
func openSnapshot(path string) (*snapshotFooter, *snapshotReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	footer, err := verifySnapshot(file)
	if err == nil && footer.name()+snapshotSuffix != filepath.Base(path) {
		err = fmt.Errorf("it is the snapshot %s", footer.name())
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	state := bufio.NewReaderSize(io.NewSectionReader(file, int64(len(snapshotMagic)), footer.Size), snapshotBufferSize)
	return footer, &snapshotReader{Reader: state, file: file}, nil
}

func verifySnapshot(file *os.File) (*snapshotFooter, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size < int64(len(snapshotMagic)+snapshotTailBytes) {
		return nil, fmt.Errorf("it has %d bytes only", size)
	}
	sum, tail := crc32.New(castagnoli), make([]byte, snapshotTailBytes)
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, size-checksumBytes)); err != nil {
		return nil, err
	}
	if _, err := file.ReadAt(tail, size-snapshotTailBytes); err != nil {
		return nil, err
	}
	if said := binary.BigEndian.Uint32(tail[4:]); said != sum.Sum32() {
		return nil, fmt.Errorf("checksum mismatch: it says %08x, its content %08x", said, sum.Sum32())
	}
	length := int64(binary.BigEndian.Uint32(tail))
	start := size - snapshotTailBytes - length
	if length > maxSnapshotFooter || start < int64(len(snapshotMagic)) {
		return nil, fmt.Errorf("its footer cannot have %d bytes", length)
	}
	raw, footer, magic := make([]byte, length), &snapshotFooter{}, make([]byte, len(snapshotMagic))
	if _, err := file.ReadAt(raw, start); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, footer); err != nil {
		return nil, fmt.Errorf("its footer: %w", err)
	}
	if _, err := file.ReadAt(magic, 0); err != nil {
		return nil, err
	}
	if string(magic) != snapshotMagic || footer.Size != start-int64(len(snapshotMagic)) {
		return nil, errors.New("it is no snapshot of this version")
	}
	return footer, nil
}
