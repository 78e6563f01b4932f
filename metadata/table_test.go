package metadata

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestTableHasEveryCommandOnce(t *testing.T) {
	t.Parallel()
	fields := (&clusterv1.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("command").Fields()
	table := Table()
	if len(table) != fields.Len() {
		t.Errorf("the table has %d rows and Command %d kinds", len(table), fields.Len())
	}
	if !slices.IsSortedFunc(table, func(a, b Row) int { return int(a.Number - b.Number) }) {
		t.Error("the table is not in the order of numbers")
	}
	for _, r := range table {
		field := fields.ByNumber(protowire.Number(r.Number))
		if field == nil || string(field.Message().Name()) != r.Name {
			t.Errorf("row %d %s: Command has %v at that number", r.Number, r.Name, field)
			continue
		}
		if r.Level < firstFeatureLevel {
			t.Errorf("%s has level %d", r.Name, r.Level)
		}
		// The row takes its own kind: an empty one of it is judged, never a panic.
		cmd := &clusterv1.Command{}
		cmd.ProtoReflect().Set(field, cmd.ProtoReflect().NewField(field))
		if found, ok := rowOf(cmd); !ok || found.Name != r.Name {
			t.Errorf("%s is found as %q", r.Name, found.Name)
		}
		encoded, err := EncodeCommand(cmd)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*State{New(), newStory(t, "a", "b").s} {
			next, result := s.Apply(s.Index()+1, encoded)
			if result.Unknown || next.Index() != s.Index()+1 {
				t.Errorf("an empty %s: %+v at index %d", r.Name, result, next.Index())
			}
			if err := next.Check(); err != nil {
				t.Errorf("after an empty %s: %v", r.Name, err)
			}
		}
	}
}

// protocol.md 3.10: what a later version proposed is not skipped.
func TestCommandOfLaterVersion(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	known, err := proto.Marshal(commandOf(t, &clusterv1.ReserveProducerIDs{Count: 1}))
	if err != nil {
		t.Fatal(err)
	}
	field := protowire.AppendVarint(protowire.AppendTag(nil, 4000, protowire.VarintType), 1)
	inner := protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), // DrainBroker
		append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "a"), field...))
	enum, err := proto.Marshal(commandOf(t, &clusterv1.RegisterBroker{Reports: []*clusterv1.PartitionReport{{State: 77}}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string][]byte{
		"a kind":                         field,
		"a field beside a kind":          append(slices.Clone(known), field...),
		"a field within a command":       inner,
		"an enum value within a command": enum,
	} {
		next, result := w.s.Apply(w.s.Index()+1, command)
		if !result.Unknown || next != w.s {
			t.Errorf("%s: %+v, the state has changed: %v", name, result, next != w.s)
		}
	}
	if next, result := w.s.Apply(w.s.Index()+1, known); result.Err() != nil || next.Index() != w.s.Index()+1 {
		t.Errorf("a known command: %+v", result)
	}
}

func TestCommandThatDoesNotParse(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	for _, command := range [][]byte{nil, {}, {0xff}, {0x1a, 0x05}, []byte("register me")} {
		next, result := w.s.Apply(w.s.Index()+1, command)
		if result.Refusal == nil || result.Refusal.Reason != ReasonMalformed || next.Index() != w.s.Index()+1 {
			t.Errorf("%x: %+v at index %d", command, result, next.Index())
		}
	}
}

// A raft index is applied once, whatever raft hands over.
func TestIndexIsAppliedOnce(t *testing.T) {
	t.Parallel()
	w := newStory(t, "a")
	command, err := EncodeCommand(commandOf(t, &clusterv1.ReserveProducerIDs{Count: 5}))
	if err != nil {
		t.Fatal(err)
	}
	next, result := w.s.Apply(100, command)
	if result.Answer.GetFirstProducerId() != firstProducerID {
		t.Fatalf("%+v", result)
	}
	for _, index := range []uint64{100, 99, 0} {
		if again, result := next.Apply(index, command); again != next || result.Err() == nil {
			t.Errorf("index %d once more: %+v", index, result)
		}
	}
	if _, result := next.Apply(101, command); result.Answer.GetFirstProducerId() != firstProducerID+5 {
		t.Errorf("%+v", result)
	}
}

func TestEncodeCommandRefusesWhatWouldStopBrokers(t *testing.T) {
	t.Parallel()
	config := &trestlev1.StreamConfig{Name: "s"}
	config.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 4000, protowire.VarintType), 1))
	for _, m := range []proto.Message{
		&clusterv1.CreateStream{Config: config},
		&clusterv1.CreateStream{Config: &trestlev1.StreamConfig{Sync: 99}},
	} {
		if _, err := EncodeCommand(commandOf(t, m)); !errors.Is(err, ErrLaterVersion) {
			t.Errorf("%v is encoded: %v", m, err)
		}
	}
	if _, err := EncodeCommand(&clusterv1.Command{}); err == nil || errors.Is(err, ErrLaterVersion) {
		t.Errorf("an empty command is encoded: %v", err)
	}
}

func TestResultRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []Result{
		{Index: 7, Unknown: true},
		{Index: 8, Refusal: refuse(ReasonInvalid, "no").with("field", "name")},
		{Index: 9, Answer: &clusterv1.Answer{BrokerEpoch: 9, Items: []*clusterv1.ItemResult{{Verdict: clusterv1.Verdict_VERDICT_STALE}}}},
	} {
		encoded, err := EncodeResult(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeResult(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		var refusal *Refusal
		if errors.As(got.Err(), &refusal) != (want.Refusal != nil) {
			t.Errorf("%+v as an error is %v", want, got.Err())
		}
	}
	for _, bad := range [][]byte{nil, {0xff}, {0x08, 0x01}} {
		if r, err := DecodeResult(bad); err == nil {
			t.Errorf("%x is decoded as %+v", bad, r)
		}
	}
}
