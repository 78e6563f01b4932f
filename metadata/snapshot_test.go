package metadata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func snapshotOf(t testing.TB, s *State) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// roundTrip restores the snapshot of a state and checks that nothing is lost.
func roundTrip(t testing.TB, s *State) *State {
	t.Helper()
	written := snapshotOf(t, s)
	back, err := Restore(bytes.NewReader(written))
	if err != nil {
		t.Fatalf("restoring: %v", err)
	}
	if again := snapshotOf(t, back); !bytes.Equal(again, written) {
		t.Fatalf("a snapshot of what was restored differs: %d bytes, %d bytes", len(written), len(again))
	}
	return back
}

// eventful is a state with something of everything in it.
func eventful(t *testing.T) *story {
	t.Helper()
	w := newStory(t, "a", "b", "c", "d")
	three := w.acked(2, "a", "b", "c")
	loose := w.stream(1, trestlev1.Sync_SYNC_INTERVAL, "b", "c")
	gone := w.acked(1, "a", "d")
	stream := func(id []byte) []byte {
		p, _ := w.s.Partition([16]byte(id))
		return p.Stream[:]
	}
	w.do(&clusterv1.PutGroup{Stream: stream(three[:]), Name: "g", Config: &clusterv1.GroupConfig{Settings: map[string]string{"x": "1", "y": "2"}}})
	w.do(&clusterv1.SetStreamMode{Uuid: stream(three[:]), Mode: trestlev1.Mode_MODE_PAUSED, Time: 77})
	w.do(&clusterv1.DeleteStream{Uuid: stream(gone[:])})
	w.do(&clusterv1.Reassign{Partition: three[:], Replicas: []string{"b", "c", "d"}})
	w.do(&clusterv1.ReserveProducerIDs{Count: 5})
	w.fence("c")
	w.crashStart("c", 3, 9)
	w.fence("b")
	w.crashStart("b", 3, 4)
	_ = loose
	return w
}

func TestSnapshotRoundTrip(t *testing.T) {
	t.Parallel()
	roundTrip(t, New())
	w := eventful(t)
	back := roundTrip(t, w.s)
	if back.Index() != w.s.Index() || back.Cluster() != w.s.Cluster() {
		t.Errorf("got index %d, cluster %+v", back.Index(), back.Cluster())
	}
	for p := range w.s.Partitions() {
		got, ok := back.Partition(p.ID)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", p) || !ok {
			t.Errorf("partition comes back as\n%+v, was\n%+v", got, p)
		}
	}
	// What happens next is the same on a restored state.
	next := mustEncode(t, &clusterv1.FenceBrokers{Brokers: w.ats("a", "d")})
	a, ra := w.s.Apply(w.s.Index()+1, next)
	b, rb := back.Apply(back.Index()+1, next)
	if !bytes.Equal(snapshotOf(t, a), snapshotOf(t, b)) || !proto.Equal(ra.Answer, rb.Answer) {
		t.Error("the same command leads to another state after a restore")
	}
}

func mustEncode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	encoded, err := EncodeCommand(commandOf(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// A snapshot is a promise to go on from exactly that state: any byte that changed must be noticed (C8).
func TestSnapshotDamageIsFound(t *testing.T) {
	t.Parallel()
	written := snapshotOf(t, eventful(t).s)
	for i := range written {
		damaged := bytes.Clone(written)
		damaged[i] ^= 0x10
		if _, err := Restore(bytes.NewReader(damaged)); !errors.Is(err, ErrSnapshotCorrupt) {
			t.Fatalf("byte %d of %d changed: %v", i, len(written), err)
		}
		if _, err := Restore(bytes.NewReader(written[:i])); !errors.Is(err, ErrSnapshotCorrupt) {
			t.Fatalf("cut at %d of %d: %v", i, len(written), err)
		}
	}
	if _, err := Restore(bytes.NewReader(append(bytes.Clone(written), 0))); !errors.Is(err, ErrSnapshotCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
}

// framed puts a body into a frame that is right.
func framed(version uint32, body []byte) []byte {
	out := append([]byte(snapshotMagic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[len(snapshotMagic):], version)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(body)))
	out = append(out, body...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// A snapshot of a later version is told from a damaged one, and whoever reads it is not led to throw it away (3.10).
func TestSnapshotOfLaterVersion(t *testing.T) {
	t.Parallel()
	written := snapshotOf(t, eventful(t).s)
	body := written[snapshotHead : len(written)-4]
	if _, err := Restore(bytes.NewReader(framed(snapshotVersion, body))); err != nil {
		t.Fatalf("the frame itself: %v", err)
	}
	if _, err := Restore(bytes.NewReader(framed(snapshotVersion+1, body))); !errors.Is(err, ErrSnapshotLater) {
		t.Errorf("later form: %v", err)
	}
	extended := append(bytes.Clone(body), 0xf8, 0x07, 0x01) // field 127, varint 1
	if _, err := Restore(bytes.NewReader(framed(snapshotVersion, extended))); !errors.Is(err, ErrSnapshotLater) {
		t.Errorf("unknown field: %v", err)
	}
}

// A snapshot whose checksum is right and whose content is not (written by a faulty version) is refused, not run on.
func TestSnapshotThatContradictsItself(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	for name, spoil := range map[string]func(*clusterv1.StateSnapshot){
		"leader unknown":        func(m *clusterv1.StateSnapshot) { m.Streams[1].Partitions[0].Leader = 99 },
		"leader not in ISR":     func(m *clusterv1.StateSnapshot) { m.Streams[1].Partitions[0].Isr = nil },
		"fenced member":         func(m *clusterv1.StateSnapshot) { m.Brokers[0].Fenced = true },
		"partition twice":       func(m *clusterv1.StateSnapshot) { m.Streams[1].Partitions[0].Uuid = m.Streams[2].Partitions[0].Uuid },
		"stream twice":          func(m *clusterv1.StateSnapshot) { m.Streams = append(m.Streams, m.Streams[0]) },
		"broker twice":          func(m *clusterv1.StateSnapshot) { m.Brokers = append(m.Brokers, m.Brokers[0]) },
		"epoch of the future":   func(m *clusterv1.StateSnapshot) { m.Streams[1].Partitions[0].PartitionEpoch = 1 << 40 },
		"no configuration":      func(m *clusterv1.StateSnapshot) { m.Streams[1].Config = nil },
		"partitions missing":    func(m *clusterv1.StateSnapshot) { m.Streams[1].Partitions = nil },
		"group of nothing":      func(m *clusterv1.StateSnapshot) { m.Groups[0].Stream = make([]byte, 16) },
		"deletion of what is":   func(m *clusterv1.StateSnapshot) { m.Deletions[0].Partition = m.Streams[0].Partitions[0].Uuid },
		"deletion by nobody":    func(m *clusterv1.StateSnapshot) { m.Deletions[0].Broker = 50 },
		"short UUID":            func(m *clusterv1.StateSnapshot) { m.Streams[1].Uuid = []byte{1} },
		"secret too short":      func(m *clusterv1.StateSnapshot) { m.Cluster.Secret = nil },
		"name with a zero byte": func(m *clusterv1.StateSnapshot) { m.Names = append(m.Names, "z\x00") },
	} {
		m := w.s.snapshot()
		m, _ = proto.Clone(m).(*clusterv1.StateSnapshot)
		spoil(m)
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(bytes.NewReader(framed(snapshotVersion, body))); !errors.Is(err, ErrSnapshotCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// protocol.md 3.5: a snapshot has at most 16 MiB, here of 10,000 partitions. BenchmarkRestore says how long it takes.
func TestSnapshotSize(t *testing.T) {
	t.Parallel()
	written := snapshotOf(t, populated(t, 10_000))
	t.Logf("10,000 partitions: %d bytes", len(written))
	if len(written) > 16<<20 {
		t.Errorf("got %d bytes, want at most 16 MiB", len(written))
	}
}

// BenchmarkRestore restores 10,000 partitions: at most 100 ms on a machine that does nothing else (protocol.md 3.5).
func BenchmarkRestore(b *testing.B) {
	written := snapshotOf(b, populated(b, 10_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Restore(bytes.NewReader(written)); err != nil {
			b.Fatal(err)
		}
	}
}

// populated is a state of 5 brokers and 5,000 streams with partitions of 3 replicas.
func populated(t testing.TB, partitions int) *State {
	t.Helper()
	w := &story{s: New(), lives: map[string]byte{}, storage: map[string]byte{}}
	apply := func(m proto.Message) {
		next, result := w.s.Apply(w.s.Index()+1, mustEncode(t, m))
		if result.Refusal != nil || result.Unknown {
			t.Fatalf("%T: %v", m, result.Refusal)
		}
		w.s = next
	}
	secret := bytes.Repeat([]byte{7}, 32)
	apply(&clusterv1.InitCluster{Uuid: w.uuid(), Secret: secret, Name: "test"})
	for _, broker := range []string{"broker-1", "broker-2", "broker-3", "broker-4", "broker-5"} {
		apply(w.registration(broker))
	}
	for i := range partitions / 2 {
		apply(&clusterv1.CreateStream{
			Uuid: w.uuid(), Partitions: []*clusterv1.NewPartition{{Uuid: w.uuid()}, {Uuid: w.uuid()}},
			Config: &trestlev1.StreamConfig{
				Name: fmt.Sprintf("stream-%05d", i), Subjects: []string{fmt.Sprintf("subject.%d", i)},
				Partitions: proto.Int32(2), Labels: map[string]string{"team": "x", "tier": "y"},
			},
		})
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
	return w.s
}
