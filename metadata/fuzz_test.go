package metadata

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fuzzBase is a state with brokers that are there and away, streams of all kinds of sync, groups and deletions, and
// commands of every kind that are about it.
func fuzzBase(t testing.TB) (*State, [][]byte) {
	t.Helper()
	w := &story{s: New(), lives: map[string]byte{}, storage: map[string]byte{}}
	var commands [][]byte
	apply := func(m proto.Message) {
		encoded := mustEncode(t, m)
		commands = append(commands, encoded)
		next, result := w.s.Apply(w.s.Index()+1, encoded)
		if result.Refusal != nil || result.Unknown {
			t.Fatalf("%T: %v", m, result.Refusal)
		}
		w.s = next
	}
	apply(&clusterv1.InitCluster{Uuid: w.uuid(), Secret: bytes.Repeat([]byte{7}, 32), Name: "test"})
	for _, broker := range []string{"a", "b", "c", "d"} {
		apply(w.registration(broker))
	}
	for i, name := range []string{"ack", "loose", "memory", "gone"} {
		m := w.create(name, 2)
		m.Config.Replicas, m.Config.MinIsr = proto.Int32(3), proto.Int32(2)
		m.Config.Sync = []trestlev1.Sync{1, 2, 3, 1}[i]
		if name == "memory" {
			m.Config.Storage = trestlev1.Storage_STORAGE_MEMORY
		}
		apply(m)
	}
	id := func(name string) []byte { s, _ := w.s.Stream(name); return s.ID[:] }
	partition := func(name string) Partition { s, _ := w.s.Stream(name); p, _ := w.s.PartitionOf(s, 0); return p }
	apply(&clusterv1.PutGroup{Stream: id("ack"), Name: "g", Config: &clusterv1.GroupConfig{Settings: map[string]string{"a": "b"}}})
	apply(&clusterv1.DeleteStream{Uuid: id("gone")})
	apply(&clusterv1.UpdateStream{Uuid: id("ack"), Config: &trestlev1.StreamConfig{MinIsr: proto.Int32(1), Partitions: proto.Int32(3)}, Added: w.newPartitions(1)})
	apply(&clusterv1.SetStreamMode{Uuid: id("loose"), Mode: trestlev1.Mode_MODE_PAUSED, Time: 9})
	apply(&clusterv1.Reassign{Partition: idOf(partition("ack")), Replicas: []string{"b", "c", "d"}})
	apply(&clusterv1.ReserveProducerIDs{Count: 3})
	apply(&clusterv1.FenceBrokers{Brokers: w.ats("b", "c")})
	back := w.registration("c")
	back.Reports = w.reports("c", 8, 3)
	apply(back)
	for _, m := range []proto.Message{ // not applied: what may come next
		w.registration("b"), w.create("new", 1), &clusterv1.DeleteGroup{Stream: id("ack"), Name: "g"},
		&clusterv1.SetFeatureLevel{Level: 1}, &clusterv1.DrainBroker{Name: "a"}, &clusterv1.RemoveBroker{Name: "b", Epoch: w.at("b").GetEpoch(), AcceptLoss: true},
		&clusterv1.AckDeleted{Broker: "a", Partitions: [][]byte{w.uuid()}, StateIndex: w.s.Index()}, &clusterv1.CancelReassign{Partition: idOf(partition("ack"))},
		&clusterv1.UpdateStream{Uuid: id("ack"), Config: &trestlev1.StreamConfig{Replicas: proto.Int32(2)}},
		&clusterv1.FenceBrokers{Brokers: w.ats("a", "d")},
	} {
		commands = append(commands, mustEncode(t, m))
	}
	for _, name := range []string{"ack", "loose", "memory"} {
		commands = append(commands, fuzzPartitionCommands(t, w, partition(name))...)
	}
	return w.s, commands
}

func idOf(p Partition) []byte { return p.ID[:] }

// fuzzPartitionCommands are commands about one partition as it is.
func fuzzPartitionCommands(t testing.TB, w *story, p Partition) [][]byte {
	t.Helper()
	var commands [][]byte
	for _, m := range []proto.Message{
		&clusterv1.AlterISR{Leader: w.at(p.Leader), Changes: []*clusterv1.ISRChange{{
			Partition: p.ID[:], LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Isr: w.ats(p.Replicas...),
		}}},
		&clusterv1.ReportDamage{Broker: w.at(p.Replicas[0]), Partitions: []*clusterv1.PartitionAt{{Partition: p.ID[:], PartitionEpoch: p.PartitionEpoch}}},
		&clusterv1.TransferLeaders{Transfers: []*clusterv1.LeaderTransfer{{Partition: p.ID[:], To: p.Replicas[1]}}},
		&clusterv1.ElectUnclean{Partition: p.ID[:], Broker: p.Replicas[0], PartitionEpoch: p.PartitionEpoch, AcceptLoss: true},
		&clusterv1.ElectLastKnown{Partitions: []*clusterv1.PartitionAt{{Partition: p.ID[:], PartitionEpoch: p.PartitionEpoch}}},
		&clusterv1.ReserveOffsets{Leader: w.at(p.Leader), Reservations: []*clusterv1.OffsetReservation{{Partition: p.ID[:], LeaderEpoch: p.LeaderEpoch, UpTo: 99}}},
		&clusterv1.Reassign{Partition: p.ID[:], Replicas: p.Replicas[:2]},
	} {
		commands = append(commands, mustEncode(t, m))
	}
	return commands
}

// script reads a fuzzed input as a sequence of commands: made-up bytes, good commands, and good ones with bytes changed or
// cut off.
func script(data []byte, good [][]byte) [][]byte {
	var commands [][]byte
	take := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	for len(data) > 0 && len(commands) < 40 {
		op, which := take(), take()
		command := bytes.Clone(good[which%len(good)])
		switch op % 4 {
		case 0:
			n := min(which, len(data))
			command, data = data[:n], data[n:]
		case 1: // as it is
		case 2:
			for range 1 + op/4%4 {
				command[take()*251%len(command)] ^= byte(take())
			}
		case 3:
			command = command[:take()%len(command)]
		}
		commands = append(commands, command)
	}
	return commands
}

// FuzzApply: any bytes as committed commands leave a valid state. Two copies that apply them, one of which is restored from
// snapshots now and then, stay equal to the byte and answer the same. What is refused or unknown changes nothing but the
// index, or nothing at all.
func FuzzApply(f *testing.F) {
	base, good := fuzzBase(f)
	f.Add([]byte{0, 3, 1, 2, 3})
	for i := range good {
		f.Add([]byte{1, byte(i), 2, byte(i), 17, 1, 3, byte(i), 9})
		f.Add(append([]byte{0, byte(min(len(good[i]), 255))}, good[i]...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, twin := base, base
		for i, command := range script(data, good) {
			before := s
			next, result := s.Apply(s.Index()+1, command)
			twinNext, twinResult := twin.Apply(twin.Index()+1, command)
			if s, twin = next, twinNext; i%8 == 0 {
				twin = roundTrip(t, twin)
			}
			if err := s.Check(); err != nil {
				t.Fatalf("after %x: %v", command, err)
			}
			sameResult(t, result, twinResult)
			switch {
			case result.Unknown && s != before:
				t.Fatalf("an unknown command changed the state: %x", command)
			case result.Refusal != nil && (s.streams != before.streams || s.partitions != before.partitions || s.brokers != before.brokers || s.cluster != before.cluster):
				t.Fatalf("a refused command changed the state: %x: %v", command, result.Refusal)
			case result.Refusal != nil && (result.Refusal.Reason == "" || result.Refusal.Message == ""):
				t.Fatalf("a refusal does not say why: %+v", result.Refusal)
			}
		}
		if !bytes.Equal(snapshotOf(t, s), snapshotOf(t, twin)) {
			t.Fatal("two copies differ")
		}
	})
}

// FuzzRestore: any bytes, also behind a checksum that is right, are refused or give a valid state that can be gone on from.
func FuzzRestore(f *testing.F) {
	base, good := fuzzBase(f)
	written := snapshotOf(f, base)
	f.Add(written)
	f.Add(written[snapshotHead : len(written)-4])
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, input := range [][]byte{data, framed(snapshotVersion, data)} {
			s, err := Restore(bytes.NewReader(input))
			if err != nil {
				if !errors.Is(err, ErrSnapshotCorrupt) && !errors.Is(err, ErrSnapshotLater) {
					t.Fatalf("an error of no kind: %v", err)
				}
				continue
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			roundTrip(t, s)
			for _, command := range good {
				s, _ = s.Apply(s.Index()+1, command)
				if err := s.Check(); err != nil {
					t.Fatalf("after %x: %v", command, err)
				}
			}
		}
	})
}
