package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

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

func (f *Folder) writeMeta(partition uuid.UUID, m *meta) error {
	config, err := protojson.Marshal(m.Config)
	if err != nil {
		return fmt.Errorf("writing the configuration of stream %s: %w", m.Config.GetName(), err)
	}
	file := metaFile{Format: metaFormat, Stream: m.Config.GetName(), UUID: m.Stream, Partition: m.Number, Config: config}
	return writeJSON(f.fs, filepath.Join(f.partitionDir(partition), metaName), file)
}

func (f *Folder) readMeta(partition uuid.UUID) (*meta, error) {
	name := filepath.Join(f.partitionDir(partition), metaName)
	b, err := readFile(f.fs, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
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

// explain makes the folder of a partition, if it is not there, and its meta.json say that. Durable when it returns.
func (f *Folder) explain(partition uuid.UUID, m *meta) error {
	have, err := f.readMeta(partition)
	if err == nil && have.equal(m) {
		return nil
	}
	dir := f.partitionDir(partition)
	if _, err := f.fs.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(f.fs.MkdirAll(dir), f.fs.SyncDir(filepath.Dir(dir))); err != nil {
			return fmt.Errorf("making the folder of a partition: %w", err)
		}
	}
	return f.writeMeta(partition, m)
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
