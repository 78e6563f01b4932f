package metadata

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

func initCommand(t *testing.T) []byte {
	t.Helper()
	secret := make([]byte, 32)
	secret[0] = 1
	b, err := EncodeCommand(commandOf(t, &clusterv1.InitCluster{Uuid: identity(1, "cluster", 1), Secret: secret, Name: "test"}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whoever asks for the channel and then for the state misses no change.
func TestMachineTellsOfChanges(t *testing.T) {
	t.Parallel()
	m := NewMachine()
	changed := m.Changed()
	select {
	case <-changed:
		t.Fatal("nothing has changed yet")
	default:
	}
	result, err := DecodeResult(m.Apply(7, initCommand(t)))
	if err != nil || result.Err() != nil {
		t.Fatalf("%v, %v", err, result.Err())
	}
	select {
	case <-changed:
	default:
		t.Error("nobody is told of the change")
	}
	if s := m.State(); s.Index() != 7 || s.Cluster().Name != "test" {
		t.Errorf("state at %d: %+v", s.Index(), s.Cluster())
	}
}

// A snapshot is the state as of when it was taken, whatever is applied while it is written; restored, it is the same, and
// those who wait are told.
func TestMachineSnapshot(t *testing.T) {
	t.Parallel()
	m := NewMachine()
	m.Apply(1, initCommand(t))
	frozen := m.Snapshot()
	m.Apply(2, []byte("no command"))
	var b bytes.Buffer
	if _, err := frozen.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	other := NewMachine()
	changed := other.Changed()
	if err := other.Restore(&b); err != nil {
		t.Fatal(err)
	}
	<-changed
	if s := other.State(); s.Index() != 1 || s.Cluster() != m.State().Cluster() {
		t.Errorf("restored: %d, %+v", s.Index(), s.Cluster())
	}
	if err := other.Restore(bytes.NewReader([]byte("no snapshot"))); !errors.Is(err, ErrSnapshotCorrupt) || other.State().Index() != 1 {
		t.Errorf("what is no snapshot: %v, state at %d", err, other.State().Index())
	}
}

// A command of a later version ends it: nothing after it is applied, and no snapshot pretends to have it (3.10).
func TestMachineStopsAtLaterVersion(t *testing.T) {
	t.Parallel()
	m := NewMachine()
	m.Apply(1, initCommand(t))
	later := protowire.AppendVarint(protowire.AppendTag(nil, 9999, protowire.VarintType), 1)
	for i, command := range [][]byte{later, initCommand(t), later} {
		result, err := DecodeResult(m.Apply(uint64(2+i), command))
		if err != nil || !result.Unknown {
			t.Errorf("command %d: %+v, %v", i, result, err)
		}
	}
	if m.State().Index() != 1 {
		t.Errorf("the state went on to %d", m.State().Index())
	}
	select {
	case err := <-m.Fatal():
		if !errors.Is(err, ErrLaterVersion) {
			t.Errorf("fatal: %v", err)
		}
	default:
		t.Error("nobody is told to stop")
	}
	if _, err := m.Snapshot().WriteTo(&bytes.Buffer{}); err == nil {
		t.Error("a snapshot was taken")
	}
	if err := m.Restore(&bytes.Buffer{}); err == nil {
		t.Error("a snapshot was restored")
	}
}
