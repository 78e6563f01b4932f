package metadata

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func minimal() *trestlev1.StreamConfig {
	return &trestlev1.StreamConfig{Name: "orders", Subjects: []string{"orders.*"}}
}

// interfaces.md section 2 and protocol.md 3.14: what a stream is if nothing is asked for.
func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		brokers          int
		replicas, minISR int32
	}{{0, 1, 1}, {1, 1, 1}, {2, 2, 1}, {3, 3, 2}, {9, 3, 2}} {
		got, err := CompleteConfig(minimal(), c.brokers)
		if err != nil {
			t.Fatal(err)
		}
		want := &trestlev1.StreamConfig{
			Name: "orders", Subjects: []string{"orders.*"}, Partitions: proto.Int32(1), Replicas: &c.replicas, MinIsr: &c.minISR,
			RetainAge: durationpb.New(0), RetainBytes: proto.Int64(0), RetainMessages: proto.Int64(0),
			SegmentBytes: proto.Int64(256 << 20), SegmentAge: durationpb.New(24 * time.Hour),
			Sync: trestlev1.Sync_SYNC_ACK, Storage: trestlev1.Storage_STORAGE_DISK, KeyHash: trestlev1.KeyHash_KEY_HASH_MURMUR3,
			DedupWindow: durationpb.New(2 * time.Minute), MaxMessageBytes: proto.Int64(8 << 20),
			Fanout: proto.Bool(false), Reply: trestlev1.Reply_REPLY_NONE, Compact: proto.Bool(false), RequireExpectedOffset: proto.Bool(false),
		}
		if !proto.Equal(got, want) {
			t.Errorf("%d brokers: %v", c.brokers, Differences(want, got))
		}
		if again, err := CompleteConfig(got, 1); err != nil || !proto.Equal(again, got) || !isComplete(got) {
			t.Errorf("completing again changes %v (%v)", Differences(got, again), err)
		}
	}
	for replicas, want := range map[int32]int32{1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4} {
		asked := minimal()
		asked.Replicas = &replicas
		if got, err := CompleteConfig(asked, 1); err != nil || got.GetMinIsr() != want {
			t.Errorf("%d replicas: min ISR %d (%v), want %d", replicas, got.GetMinIsr(), err, want)
		}
	}
}

func TestConfigOfMemoryAndIntervals(t *testing.T) {
	t.Parallel()
	memory := minimal()
	memory.Storage = trestlev1.Storage_STORAGE_MEMORY
	if got, err := CompleteConfig(memory, 1); err != nil || got.GetSync() != trestlev1.Sync_SYNC_NONE || Durable(got) {
		t.Errorf("memory: %v, sync %v", err, got.GetSync())
	}
	interval := minimal()
	interval.Sync = trestlev1.Sync_SYNC_INTERVAL
	got, err := CompleteConfig(interval, 1)
	if err != nil || got.GetSyncInterval().AsDuration() != 100*time.Millisecond || Durable(got) {
		t.Errorf("interval: %v, %v", err, got.GetSyncInterval())
	}
	back, err := updated(got, &trestlev1.StreamConfig{Sync: trestlev1.Sync_SYNC_ACK}, false)
	if err != nil || back.GetSyncInterval() != nil || !isComplete(back) || !Durable(back) {
		t.Errorf("from interval to ack: %v, %v", err, back)
	}
}

func longSubjects(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%d.", i) + strings.Repeat("x", 1000)
	}
	return list
}

// protocol.md 2.3: the subjects that the partitions of one stream listen on do not overlap; here against the plain check of
// all pairs.
func TestExtendedSubjectsDoNotOverlap(t *testing.T) {
	t.Parallel()
	tokens := []string{"a", "*", "1", "2", "3", "01"}
	var subjects []string
	for _, a := range tokens {
		subjects = append(subjects, a)
		for _, b := range tokens {
			subjects = append(subjects, a+"."+b)
		}
	}
	overlaps := func(list []string, partitions int) bool {
		var all []string
		for _, s := range list {
			all = append(all, s)
			for n := 1; n < partitions; n++ {
				all = append(all, fmt.Sprintf("%s.%d", s, n))
			}
		}
		for i, s := range all {
			for _, other := range all[:i] {
				if names.Overlap(s, other) {
					return true
				}
			}
		}
		return false
	}
	refused := 0
	for _, a := range subjects {
		for _, b := range subjects {
			for partitions := int32(1); partitions <= 3; partitions++ {
				asked := &trestlev1.StreamConfig{Name: "s", Subjects: []string{a, b}, Partitions: &partitions}
				_, err := CompleteConfig(asked, 1)
				if want := overlaps(asked.GetSubjects(), int(partitions)); (err != nil) != want {
					t.Errorf("%q and %q with %d partitions: %v, overlap %v", a, b, partitions, err, want)
				} else if want {
					refused++
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// protocol.md 3.14: storage, queue group and hash are for ever; what is named and the same is no change.
func TestConfigUpdate(t *testing.T) {
	t.Parallel()
	asked := minimal()
	asked.QueueGroup = "g"
	asked.Labels = map[string]string{"a": "1", "b": "2"}
	have, err := CompleteConfig(asked, 3)
	if err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]*trestlev1.StreamConfig{
		"name":        {Name: "other"},
		"storage":     {Storage: trestlev1.Storage_STORAGE_MEMORY, Sync: trestlev1.Sync_SYNC_NONE},
		"queue_group": {QueueGroup: "h"},
		"key_hash":    {KeyHash: trestlev1.KeyHash_KEY_HASH_CRC32},
	} {
		var typed *ConfigError
		if _, err := updated(have, change, false); !errors.As(err, &typed) || typed.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	got, err := updated(have, &trestlev1.StreamConfig{
		Name: "orders", QueueGroup: "g", Subjects: []string{"x"}, Labels: map[string]string{"c": "3"}, RetainAge: durationpb.New(time.Hour),
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.GetSubjects(); len(s) != 1 || s[0] != "x" {
		t.Errorf("subjects are %q: a list is replaced, not added to", s)
	}
	if l := got.GetLabels(); len(l) != 1 || l["c"] != "3" {
		t.Errorf("labels are %v", l)
	}
	if changed := Differences(have, got); len(changed) != 3 {
		t.Errorf("changed: %v", changed)
	}
	if unchanged, err := updated(have, nil, false); err != nil || !proto.Equal(unchanged, have) {
		t.Errorf("nothing asked: %v, %v", unchanged, err)
	}
}

func TestInternalStreamsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	if _, err := complete(&trestlev1.StreamConfig{Name: "__cursors"}, 1, true); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"cursors", "__", "__a/b", "__" + strings.Repeat("x", names.MaxLength)} {
		if _, err := complete(&trestlev1.StreamConfig{Name: name}, 1, true); err == nil {
			t.Errorf("%q is accepted for an internal stream", name)
		}
	}
}
