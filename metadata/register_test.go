package metadata

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestInitClusterOnce(t *testing.T) {
	t.Parallel()
	w := &story{t: t, s: New(), lives: map[string]byte{}, storage: map[string]byte{}}
	w.refused(ReasonNotInitialized, w.registration("a"))
	secret := slices.Repeat([]byte{7}, 32)
	w.refused(ReasonInvalid, &clusterv1.InitCluster{Uuid: w.uuid(), Secret: secret[:31], Name: "x"})
	w.refused(ReasonInvalid, &clusterv1.InitCluster{Uuid: w.uuid(), Secret: make([]byte, 32), Name: "x"})
	w.refused(ReasonInvalid, &clusterv1.InitCluster{Uuid: make([]byte, 16), Secret: secret, Name: "x"})
	w.refused(ReasonInvalid, &clusterv1.InitCluster{Uuid: w.uuid(), Secret: secret, Name: "-"})
	w.do(&clusterv1.InitCluster{Uuid: w.uuid(), Secret: secret, Name: "x"})
	w.refused(ReasonInitialized, &clusterv1.InitCluster{Uuid: w.uuid(), Secret: secret, Name: "y"})
	if c := w.s.Cluster(); c.Name != "x" || c.Secret != [32]byte(secret) || c.FeatureLevel != firstFeatureLevel {
		t.Errorf("%+v", c)
	}
}

// C5: one life at a time, each with a broker epoch of its own.
func TestRegisterGivesEpoch(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	first, _ := w.s.Broker("a")
	if first.Epoch != w.s.Index() || !first.Live() {
		t.Errorf("at index %d: %+v", w.s.Index(), first)
	}
	again := w.registration("a")
	w.refused(ReasonBrokerAlive, again)
	w.fence("a")
	answer := w.do(again)
	second, _ := w.s.Broker("a")
	if second.Epoch <= first.Epoch || second.Epoch != answer.GetBrokerEpoch() || second.Fenced {
		t.Errorf("%+v, answered %v", second, answer)
	}
	// The same proposal applied twice is the same registration.
	if answer := w.do(again); answer.GetBrokerEpoch() != second.Epoch {
		t.Errorf("once more: %v", answer)
	}
}

// A registration that arrives late speaks for a life that is over, and would bring back its tails.
func TestRegisterLate(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	w.fence("a")
	late := w.registration("a")
	w.do(late)
	w.fence("a")
	w.start("a")
	w.fence("a")
	refusal := w.refusal(ReasonStaleBroker, late)
	b, _ := w.s.Broker("a")
	if refusal.Names["epoch"] != uitoa(b.Epoch) {
		t.Errorf("names %v, the epoch is %d", refusal.Names, b.Epoch)
	}
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	for reason, changes := range map[Reason][]func(*clusterv1.RegisterBroker){
		ReasonInvalid: {
			func(r *clusterv1.RegisterBroker) { r.Name = "" },
			func(r *clusterv1.RegisterBroker) { r.Name = "../b" },
			func(r *clusterv1.RegisterBroker) { r.Incarnation = nil },
			func(r *clusterv1.RegisterBroker) { r.Storage = make([]byte, 16) },
			func(r *clusterv1.RegisterBroker) { r.RaftId = "" },
			func(r *clusterv1.RegisterBroker) { r.RaftId = "a@raft" },
			func(r *clusterv1.RegisterBroker) { r.PeerAddress = string(make([]byte, maxAddressBytes+1)) },
			func(r *clusterv1.RegisterBroker) { r.MinFeatureLevel = 0 },
			func(r *clusterv1.RegisterBroker) { r.MinFeatureLevel = 2 },
			func(r *clusterv1.RegisterBroker) { r.Reports = []*clusterv1.PartitionReport{{Partition: w.uuid()}} },
			func(r *clusterv1.RegisterBroker) {
				r.Reports = []*clusterv1.PartitionReport{{Partition: []byte("x"), State: 1}}
			},
		},
		ReasonStaleBroker:  {func(r *clusterv1.RegisterBroker) { r.PreviousEpoch = 1 }},
		ReasonStorageInUse: {func(r *clusterv1.RegisterBroker) { r.Storage = identity('s', "a", 0) }},
		ReasonFeatureLevel: {func(r *clusterv1.RegisterBroker) { r.MinFeatureLevel, r.MaxFeatureLevel = 2, 3 }},
	} {
		for _, change := range changes {
			r := w.registration("b")
			change(r)
			w.refused(reason, r)
		}
	}
	w.start("b")
}

// C5: a new life ends the membership of the ISR, and a clean stop keeps the copy sure.
func TestRegisterAfterCleanStop(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	w.fence("a")
	w.fence("b") // ISR c, ELR b: a left while b and c were enough
	w.fence("c")
	if p := w.partition(id); p.Leader != "" || !slices.Equal(p.ELR, []string{"b", "c"}) {
		t.Fatalf("%+v", p)
	}
	w.start("a")
	if p := w.partition(id); p.Leader != "" {
		t.Fatalf("S1: %q leads and has left the ISR long ago", p.Leader)
	}
	w.start("c")
	if p := w.partition(id); p.Leader != "c" || p.LeaderEpoch != w.s.Index() || p.PartitionEpoch != w.s.Index() ||
		!slices.Equal(p.ISR, []string{"c"}) || len(p.Unsure) != 0 || p.UncleanEpoch != 0 {
		t.Errorf("%+v at index %d", p, w.s.Index())
	}
}

// protocol.md 1.3: nobody who is unsure is elected alone; of enough of them the one with the greatest tail is.
func TestRegisterAfterCrash(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b", "c")
	id := w.acked(2, "a", "b", "c")
	w.fence("a", "b", "c")
	w.crashStart("b", 5, 10)
	if p := w.partition(id); p.Leader != "" || len(p.Unsure) != 1 {
		t.Fatalf("an unsure replica leads alone: %+v", p)
	}
	if s := w.s.Waiting(w.partition(id)); s == "" {
		t.Error("nobody says what the partition waits for")
	}
	w.crashStart("c", 5, 12)
	if p := w.partition(id); p.Leader != "c" {
		t.Errorf("not the greatest tail: %+v", p)
	}
}

// C5: the same process comes back with what it had: nothing was lost, so it is never unsure anew.
func TestRegisterSameIncarnationAgain(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(2, "a", "b")
	w.fence("a", "b")
	r := w.registration("a")
	b, _ := w.s.Broker("a")
	r.Incarnation = b.Incarnation[:]
	r.Storage = identity('s', "a", 9)
	w.refused(ReasonInvalid, r)
	r.Storage, r.Reports = b.Storage[:], w.reports("a", 5, 10)
	w.do(r)
	if p := w.partition(id); p.Leader != "a" || len(p.Lost)+len(p.Unsure) != 0 {
		t.Errorf("%+v", p)
	}
	if after, _ := w.s.Broker("a"); after.Epoch <= b.Epoch || after.Fenced {
		t.Errorf("%+v", after)
	}
}

// C5: what a process that never stopped has found damaged or gone since is not elected by the command that says so.
func TestRegisterSameIncarnationWithoutCopy(t *testing.T) {
	t.Parallel()
	for name, reports := range map[string]func(all []*clusterv1.PartitionReport) []*clusterv1.PartitionReport{
		"not reported": func([]*clusterv1.PartitionReport) []*clusterv1.PartitionReport { return nil },
		"said missing": func(all []*clusterv1.PartitionReport) []*clusterv1.PartitionReport {
			all[0].State = clusterv1.CopyState_COPY_STATE_MISSING
			return all
		},
		"damaged": func(all []*clusterv1.PartitionReport) []*clusterv1.PartitionReport {
			all[0].State = clusterv1.CopyState_COPY_STATE_DAMAGED
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStory(t, "a", "b", "c")
			id := w.acked(2, "a", "b")
			w.fence("a", "b")
			r := w.registration("a")
			b, _ := w.s.Broker("a")
			r.Incarnation = b.Incarnation[:]
			r.Reports = reports([]*clusterv1.PartitionReport{{Partition: id[:], State: clusterv1.CopyState_COPY_STATE_OK}})
			w.do(r)
			if p := w.partition(id); p.Leader != "" || !slices.Equal(p.Lost, []string{"a"}) || !slices.Equal(p.ELR, []string{"b"}) {
				t.Errorf("%+v", p)
			}
		})
	}
}

// C5: the token of a clean stop is the broker epoch of the life that stopped. An older one, left behind in the folder, says
// nothing of how the last life ended.
func TestRegisterWithStaleCleanToken(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.acked(2, "a", "b")
	first, _ := w.s.Broker("a")
	w.fence("a")
	w.start("a")
	w.join(id, "a", "b")
	w.fence("a", "b")
	r := w.registration("a")
	r.CleanEpoch, r.Reports = first.Epoch, w.reports("a", 5, 10)
	w.do(r)
	if p := w.partition(id); p.Leader != "" || len(p.Unsure) != 1 {
		t.Fatalf("S1: elected on the word of a token of a former life: %+v", p)
	}
}

// protocol.md 3.8: a memory log is gone with its process, and there as long as that runs.
func TestRegisterMemorySameIncarnation(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	id := w.uuid()
	w.do(&clusterv1.CreateStream{
		Uuid: w.uuid(),
		Config: &trestlev1.StreamConfig{
			Name: "m", Subjects: []string{"m"}, Sync: trestlev1.Sync_SYNC_NONE, Storage: trestlev1.Storage_STORAGE_MEMORY,
		},
		Partitions: []*clusterv1.NewPartition{{Uuid: id, Replicas: []string{"a"}}},
	})
	w.fence("a")
	r := w.registration("a")
	b, _ := w.s.Broker("a")
	r.Incarnation, r.Reports = b.Incarnation[:], w.reports("a", 1, 1)
	w.do(r)
	if p := w.partition([16]byte(id)); p.Leader != "a" || p.UncleanEpoch != 0 {
		t.Errorf("%+v", p)
	}
}

func TestRegisterWithNewStorageOrWithoutCopies(t *testing.T) {
	t.Parallel()
	for name, arrive := range map[string]func(w *story, r *clusterv1.RegisterBroker){
		"new storage":  func(w *story, r *clusterv1.RegisterBroker) { r.Storage = identity('s', "a", 9) },
		"not reported": func(w *story, r *clusterv1.RegisterBroker) { r.Reports = nil },
		"said missing": func(w *story, r *clusterv1.RegisterBroker) {
			r.Reports[0].State = clusterv1.CopyState_COPY_STATE_MISSING
		},
		"damaged": func(w *story, r *clusterv1.RegisterBroker) {
			r.Reports[0].State = clusterv1.CopyState_COPY_STATE_DAMAGED
		},
		"clean, though": func(w *story, r *clusterv1.RegisterBroker) { r.Reports, r.CleanEpoch = nil, r.PreviousEpoch },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStory(t, "a", "b", "c")
			id := w.acked(2, "a", "b")
			w.fence("a", "b")
			r := w.registration("a")
			r.Reports = w.reports("a", 5, 10)
			arrive(w, r)
			w.do(r)
			if p := w.partition(id); p.Leader != "" || !slices.Equal(p.Lost, []string{"a"}) || !slices.Equal(p.ELR, []string{"b"}) {
				t.Fatalf("%+v", p)
			}
			// protocol.md 1.3: who is lost is not waited for.
			w.crashStart("b", 5, 9)
			if p := w.partition(id); p.Leader != "b" {
				t.Errorf("%+v", p)
			}
		})
	}
}

// A partition that was made while the broker was away was never there, so it is not lost.
func TestRegisterDoesNotLoseWhatItNeverHeld(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	w.fence("b")
	id := w.acked(1, "a", "b")
	before := w.partition(id)
	if !slices.Equal(before.ISR, []string{"a"}) {
		t.Fatalf("%+v", before)
	}
	r := w.registration("b")
	w.do(r)
	if p := w.partition(id); !p.Equal(before.Membership) || p.PartitionEpoch != before.PartitionEpoch {
		t.Errorf("%+v", p)
	}
}

// protocol.md 1.17: the only copy stays in charge, damaged as it is.
func TestRegisterDamagedOnlyCopy(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	id := w.acked(1, "a")
	w.fence("a")
	r := w.registration("a")
	r.Reports = w.reports("a", 5, 10)
	for _, report := range r.Reports {
		report.State = clusterv1.CopyState_COPY_STATE_DAMAGED
	}
	w.do(r)
	if p := w.partition(id); p.Leader != "a" {
		t.Errorf("%+v", p)
	}
}

// protocol.md 3.7, 3.8: a memory log is empty after every start, a clean stop or not.
func TestRegisterMemory(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a", "b")
	id := w.uuid()
	w.do(&clusterv1.CreateStream{
		Uuid: w.uuid(),
		Config: &trestlev1.StreamConfig{
			Name: "m", Subjects: []string{"m"}, Replicas: proto.Int32(2), MinIsr: proto.Int32(1),
			Sync: trestlev1.Sync_SYNC_NONE, Storage: trestlev1.Storage_STORAGE_MEMORY,
		},
		Partitions: []*clusterv1.NewPartition{{Uuid: id, Replicas: []string{"a", "b"}}},
	})
	p := w.partition([16]byte(id))
	w.do(&clusterv1.ReserveOffsets{Leader: w.at("a"), Reservations: []*clusterv1.OffsetReservation{
		{Partition: id, LeaderEpoch: p.LeaderEpoch, UpTo: 1 << 20},
		{Partition: id, LeaderEpoch: p.LeaderEpoch, UpTo: 5},
		{Partition: id, LeaderEpoch: p.LeaderEpoch, UpTo: -1},
		{Partition: id, LeaderEpoch: p.LeaderEpoch - 1, UpTo: 1 << 30},
	}})
	w.fence("a")
	w.fence("b")
	w.start("b")
	p = w.partition([16]byte(id))
	if p.Leader != "b" || p.UncleanEpoch != p.LeaderEpoch || p.ReservedOffset != 1<<20 {
		t.Errorf("%+v", p)
	}
}

func TestFeatureLevel(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	w.refused(ReasonFeatureLevel, &clusterv1.SetFeatureLevel{Level: 2})
	w.fence("a")
	r := w.registration("a")
	r.MaxFeatureLevel = 3
	w.do(r)
	w.do(&clusterv1.SetFeatureLevel{Level: 2})
	w.refused(ReasonFeatureLevel, &clusterv1.SetFeatureLevel{Level: 1})
	w.refused(ReasonFeatureLevel, w.registration("b"))
	if refusal := w.s.admits(Row{Number: 99, Name: "Later", Level: 3}); refusal == nil || refusal.Reason != ReasonFeatureLevel {
		t.Errorf("a command above the level is admitted: %v", refusal)
	}
}

func TestReserveProducerIDs(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	first := w.do(&clusterv1.ReserveProducerIDs{Count: 10}).GetFirstProducerId()
	if next := w.do(&clusterv1.ReserveProducerIDs{Count: 1}).GetFirstProducerId(); next != first+10 {
		t.Errorf("%d after %d and 10 more", next, first)
	}
	w.refused(ReasonInvalid, &clusterv1.ReserveProducerIDs{})
	w.refused(ReasonInvalid, &clusterv1.ReserveProducerIDs{Count: maxReservedIDs + 1})
	full := *w.s
	full.nextProducerID = 1<<64 - 5
	w.s = &full
	w.refused(ReasonLimit, &clusterv1.ReserveProducerIDs{Count: 10})
}
