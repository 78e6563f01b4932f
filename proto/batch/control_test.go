package batch_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// generatedControl is c as a message of generated code.
func generatedControl(c *batch.Control) *trestlev1.Control {
	switch c.Kind {
	case batch.ControlEpoch:
		return &trestlev1.Control{Kind: &trestlev1.Control_Epoch{Epoch: &trestlev1.Epoch{LeaderEpoch: c.Epoch}}}
	case batch.ControlGap:
		gap := &trestlev1.Gap{Cause: trestlev1.GapCause(c.Gap.Cause), FromTime: c.Gap.FromTime, ToTime: c.Gap.ToTime}
		if c.Gap.Counted {
			gap.AtLeast = proto.Uint64(c.Gap.AtLeast)
		}
		return &trestlev1.Control{Kind: &trestlev1.Control_Gap{Gap: gap}}
	case batch.ControlUnclean:
		return &trestlev1.Control{Kind: &trestlev1.Control_Unclean{Unclean: &trestlev1.Unclean{
			LeaderEpoch: c.Unclean.LeaderEpoch, LostFromOffset: c.Unclean.LostFromOffset,
		}}}
	default:
		return &trestlev1.Control{}
	}
}

func controls() map[string]batch.Control {
	return map[string]batch.Control{
		"none":            {},
		"epoch":           {Kind: batch.ControlEpoch, Epoch: math.MaxUint64},
		"epoch 0":         {Kind: batch.ControlEpoch},
		"gap":             {Kind: batch.ControlGap, Gap: batch.Gap{Cause: batch.GapDiskFull, FromTime: 1, ToTime: math.MaxInt64, AtLeast: 7, Counted: true}},
		"gap of nothing":  {Kind: batch.ControlGap, Gap: batch.Gap{Cause: batch.GapRestart, Counted: true}},
		"gap not counted": {Kind: batch.ControlGap, Gap: batch.Gap{Cause: batch.GapPaused, FromTime: -1, ToTime: math.MinInt64}},
		"empty gap":       {Kind: batch.ControlGap},
		"unknown cause":   {Kind: batch.ControlGap, Gap: batch.Gap{Cause: 99}},
		"unclean":         {Kind: batch.ControlUnclean, Unclean: batch.Unclean{LeaderEpoch: 300, LostFromOffset: math.MaxInt64}},
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	for name, c := range controls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := batch.AppendControl([]byte("before"), &c)[len("before"):]
			stamp := newSource(1).stamp()
			stamp.Put(b)
			h := parse(t, b)
			if !h.Control() || h.Body != batch.BodyControl || h.RecordCount != 0 || h.NextOffset() != stamp.BaseOffset {
				t.Errorf("header %+v, next offset %d; want a control batch that takes no offset", h, h.NextOffset())
			}
			got, err := batch.ParseControl(h.BodyOf(b))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, got); diff != "" {
				t.Errorf("ParseControl (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(generatedControl(&c), decode(t, b)[0].GetControl(), protocmp.Transform()); diff != "" {
				t.Errorf("generated code (-want +got):\n%s", diff)
			}
			fromGenerated, err := batch.ParseControl(encode(t, generatedControl(&c)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, fromGenerated); diff != "" {
				t.Errorf("ParseControl of what generated code made (-want +got):\n%s", diff)
			}
		})
	}
}

func TestControlNumbersAreTheProtos(t *testing.T) {
	t.Parallel()
	kinds := (&trestlev1.Control{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	want := map[batch.ControlKind]string{batch.ControlEpoch: "epoch", batch.ControlGap: "gap", batch.ControlUnclean: "unclean"}
	got := map[batch.ControlKind]string{}
	for i := range kinds.Len() {
		got[batch.ControlKind(kinds.Get(i).Number())] = string(kinds.Get(i).Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-here +proto):\n%s", diff)
	}
	causes := map[batch.GapCause]string{
		0:                         "GAP_CAUSE_UNSPECIFIED",
		batch.GapRingOverflow:     "GAP_CAUSE_RING_OVERFLOW",
		batch.GapNATSDropped:      "GAP_CAUSE_NATS_DROPPED",
		batch.GapNATSDisconnected: "GAP_CAUSE_NATS_DISCONNECTED",
		batch.GapNoReplica:        "GAP_CAUSE_NO_REPLICA",
		batch.GapRestart:          "GAP_CAUSE_RESTART",
		batch.GapPaused:           "GAP_CAUSE_PAUSED",
		batch.GapDiskFull:         "GAP_CAUSE_DISK_FULL",
		batch.GapTooLarge:         "GAP_CAUSE_TOO_LARGE",
		batch.GapHeardElsewhere:   "GAP_CAUSE_HEARD_ELSEWHERE",
	}
	gotCauses := map[batch.GapCause]string{}
	for number, name := range trestlev1.GapCause_name {
		gotCauses[batch.GapCause(number)] = name
	}
	if diff := cmp.Diff(causes, gotCauses); diff != "" {
		t.Errorf("causes (-here +proto):\n%s", diff)
	}
}

// TestControlOfLaterVersions: kinds and fields that are not known here are passed over.
func TestControlOfLaterVersions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want batch.Control
	}{
		"unknown kind":              {"\x22\x02\x08\x01", batch.Control{}},
		"unknown number":            {"\x20\x01", batch.Control{}},
		"epoch with a number":       {"\x0a\x04\x08\x05\x10\x01", batch.Control{Kind: batch.ControlEpoch, Epoch: 5}},
		"epoch with bytes":          {"\x0a\x05\x08\x05\x12\x01x", batch.Control{Kind: batch.ControlEpoch, Epoch: 5}},
		"unclean with a message":    {"\x1a\x06\x08\x05\x10\x07\x1a\x00", batch.Control{Kind: batch.ControlUnclean, Unclean: batch.Unclean{LeaderEpoch: 5, LostFromOffset: 7}}},
		"gap with fixed64":          {"\x12\x0b\x08\x06\x29\x01\x02\x03\x04\x05\x06\x07\x08", batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{Cause: batch.GapPaused}}},
		"known kind, unknown field": {"\x0a\x02\x08\x05\x22\x00", batch.Control{Kind: batch.ControlEpoch, Epoch: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := batch.ParseControl([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var message trestlev1.Control
			if err := proto.Unmarshal([]byte(test.body), &message); err != nil {
				t.Errorf("generated code: %v", err)
			}
		})
	}
}

func TestControlRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"cut in a tag":          "\x8a",
		"cut in a kind":         "\x0a\x03\x08",
		"epoch a number":        "\x08\x01",
		"unclean fixed32":       "\x1d\x01\x02\x03\x04",
		"leader epoch bytes":    "\x0a\x02\x0a\x00",
		"at least fixed64":      "\x12\x09\x21\x01\x02\x03\x04\x05\x06\x07\x08",
		"lost from bytes":       "\x1a\x02\x12\x00",
		"number cut short":      "\x0a\x02\x08\x80",
		"group instead of kind": "\x0b\x0c",
	} {
		if _, err := batch.ParseControl([]byte(body)); !errors.Is(err, batch.ErrCorrupt) {
			t.Errorf("%s: got error %v, want ErrCorrupt", name, err)
		}
	}
}
