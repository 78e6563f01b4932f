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
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// logID of the records of a partition.
const recordsLog = 0

// Stream is a stream whose partition runs here.
type Stream struct {
	Config    *trestlev1.StreamConfig
	UUID      uuid.UUID
	Partition *partition.Partition

	subscription *capture.Subscription
}

// meta is what meta.json in the folder of a partition says, so that the folder explains itself.
type meta struct {
	Format    int             `json:"format"`
	Stream    string          `json:"stream"`
	UUID      uuid.UUID       `json:"stream_uuid"`
	Partition int             `json:"partition"`
	Config    json.RawMessage `json:"config"`
}

func (f *Folder) writeMeta(partition uuid.UUID, s *Stream) error {
	config, err := protojson.Marshal(s.Config)
	if err != nil {
		return fmt.Errorf("writing the configuration of stream %s: %w", s.Config.GetName(), err)
	}
	m := meta{Format: formatVersion, Stream: s.Config.GetName(), UUID: s.UUID, Config: config}
	return writeJSON(f.fs, filepath.Join(f.partitionDir(partition), metaName), m)
}

func (f *Folder) readMeta(partition uuid.UUID) (*Stream, error) {
	name := filepath.Join(f.partitionDir(partition), metaName)
	b, err := readFile(f.fs, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var m meta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	if m.Format != formatVersion {
		return nil, fmt.Errorf("%s has format %d and this program knows %d", name, m.Format, formatVersion)
	}
	s := &Stream{Config: &trestlev1.StreamConfig{}, UUID: m.UUID}
	if err := protojson.Unmarshal(m.Config, s.Config); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return s, nil
}

// isUnfinished says whether a folder has no description: its stream was never created, for that is written first.
func isUnfinished(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// State of the stream as of now.
func (s *Stream) State(broker string) *trestlev1.StreamState {
	p := s.Partition.State()
	state := &trestlev1.PartitionState{
		Leader: broker, Replicas: []string{broker}, Isr: []string{broker}, LeaderEpoch: p.Epoch,
		Mode:     trestlev1.Mode_MODE_ACTIVE,
		LogStart: p.LogStart, NextOffset: p.NextOffset, HighWatermark: p.HighWatermark, DurableOffset: p.DurableOffset,
		Messages: p.HighWatermark - p.LogStart, Bytes: p.Bytes,
	}
	if p.Fault != nil {
		state.Fault = p.Fault.Error()
	}
	return &trestlev1.StreamState{
		Config:     proto.CloneOf(s.Config),
		Uuid:       s.UUID.String(),
		Revision:   1,
		Partitions: []*trestlev1.PartitionState{state},
	}
}
