package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// recordsLog is the id of the log of records within a partition.
const recordsLog = 0

// metaFormat of meta.json.
const metaFormat = 1

// metaFile is what meta.json in the folder of a partition says, so that the folder explains itself. The metadata decides;
// this is read by people, and where there is no metadata yet.
type metaFile struct {
	Format    int             `json:"format"`
	Stream    string          `json:"stream"`
	UUID      uuid.UUID       `json:"stream_uuid"`
	Partition int32           `json:"partition"`
	Config    json.RawMessage `json:"config"`
}

// meta is what meta.json says.
type meta struct {
	Stream uuid.UUID
	Number int32
	Config *trestlev1.StreamConfig
}

func (m *meta) equal(other *meta) bool {
	return m.Stream == other.Stream && m.Number == other.Number && proto.Equal(m.Config, other.Config)
}

// text is what the meta.json of all partitions of a stream say, but for the number, made once for all of them.
type text struct {
	once       sync.Once
	head, tail []byte
	err        error
}

// numberLine is the one line in which the texts of a stream's partitions differ. No string in JSON has a line in it.
const numberLine = "\n  \"partition\": "

// of is the text of a partition of the stream.
func (t *text) of(m *meta) ([]byte, error) {
	t.once.Do(func() {
		first := meta{Stream: m.Stream, Config: m.Config}
		var b []byte
		if b, t.err = first.encode(); t.err == nil {
			t.head, t.tail, _ = bytes.Cut(b, []byte(numberLine+"0"))
		}
	})
	if t.err != nil {
		return nil, t.err
	}
	b := append(slices.Clip(t.head), numberLine...)
	return append(strconv.AppendInt(b, int64(m.Number), 10), t.tail...), nil
}

// encode is what meta.json says of m, readable by people. One program encodes the same always in the same way.
func (m *meta) encode() ([]byte, error) {
	config, err := protojson.Marshal(m.Config)
	if err != nil {
		return nil, fmt.Errorf("writing the configuration of stream %s: %w", m.Config.GetName(), err)
	}
	return encodeJSON(metaFile{Format: metaFormat, Stream: m.Config.GetName(), UUID: m.Stream, Partition: m.Number, Config: config})
}

func (f *Folder) metaFile(partition uuid.UUID) string {
	return filepath.Join(f.partitionDir(partition), metaName)
}

func (f *Folder) readMeta(partition uuid.UUID) (*meta, error) {
	name := f.metaFile(partition)
	b, err := readFile(f.fs, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return decodeMeta(name, b)
}

func decodeMeta(name string, b []byte) (*meta, error) {
	var file metaFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	if file.Format != metaFormat {
		return nil, fmt.Errorf("%s has format %d and this program knows %d", name, file.Format, metaFormat)
	}
	m := &meta{Stream: file.UUID, Number: file.Partition, Config: &trestlev1.StreamConfig{}}
	if err := protojson.Unmarshal(file.Config, m.Config); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return m, nil
}

// explain makes the folder of a partition, if it is not there, and its meta.json say that. Durable when it returns. A start
// does this for each partition, and nearly always it is said already, in those very bytes. The partitions of a stream may share
// a text, as long as its configuration is the same.
func (f *Folder) explain(partition uuid.UUID, m *meta, in *text) error {
	want, err := in.of(m)
	if err != nil {
		return err
	}
	name := f.metaFile(partition)
	if b, err := readFile(f.fs, name); err == nil {
		if bytes.Equal(b, want) {
			return nil
		}
		if have, err := decodeMeta(name, b); err == nil && have.equal(m) { // another version wrote it
			return nil
		}
	}
	dir := f.partitionDir(partition)
	if _, err := f.fs.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(f.fs.MkdirAll(dir), f.fs.SyncDir(filepath.Dir(dir))); err != nil {
			return fmt.Errorf("making the folder of a partition: %w", err)
		}
	}
	if err := replaceFile(f.fs, name, want); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// hasLog says whether there is a log in the folder of the partition.
func (f *Folder) hasLog(partition uuid.UUID) (bool, error) {
	_, err := f.fs.Stat(f.logDir(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isUnfinished says whether a folder has no description: its partition was never made, for that is written first.
func isUnfinished(err error) bool { return errors.Is(err, fs.ErrNotExist) }
