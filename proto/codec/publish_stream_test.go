package codec_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestPublishStreamRequestIsTheGeneratedMessage(t *testing.T) {
	t.Parallel()
	for seed := range 200 {
		s := newSource(seed)
		generated := &trestlev1.PublishStreamRequest{Id: s.number()}
		hand := &codec.PublishStreamRequest{ID: generated.GetId()}
		if s.chance() {
			generated.Batch = s.publishRequest()
			hand.Batch = byHand(t, generated.GetBatch())
		}
		wire := encode(t, generated)
		if got := marshal(t, hand); !bytes.Equal(got, wire) {
			t.Fatalf("seed %d: Marshal gives\n%x\ngenerated code\n%x", seed, got, wire)
		}
		got := &codec.PublishStreamRequest{ID: 7, Batch: &codec.PublishRequest{}}
		if err := unmarshal(wire, got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(hand, got, butFrame); diff != "" {
			t.Fatalf("seed %d: Unmarshal (-want +got):\n%s", seed, diff)
		}
	}
}

// What nobody sends is refused or reported, never passed over.
func TestPublishStreamRequestUnusualWire(t *testing.T) {
	t.Parallel()
	batch := encode(t, &trestlev1.PublishStreamRequest{Batch: &trestlev1.PublishRequest{Stream: "s"}})
	var got codec.PublishStreamRequest
	for name, wire := range map[string][]byte{
		"two batches": append(bytes.Clone(batch), batch...),
		"torn":        batch[:len(batch)-1],
		"torn inside": {0x12, 0x02, 0x0a, 0x05},
	} {
		if err := unmarshal(wire, &got); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
	if err := unmarshal([]byte{0x38, 0x01}, &got); err != nil || got.Unknown != 7 {
		t.Errorf("got %+v, %v, want field 7 reported", got, err)
	}
}

// Bytes that are no message are told of, and no error of the codec.
func TestChecked(t *testing.T) {
	t.Parallel()
	for _, message := range []any{&codec.PublishRequest{}, &trestlev1.PublishRequest{}} {
		checked := &codec.Checked{Message: message}
		if err := unmarshal([]byte{0x0a, 0x7f}, checked); err != nil || checked.Err == nil {
			t.Errorf("%T: got %v and %v", message, err, checked.Err)
		}
		if err := unmarshal([]byte{0x0a, 0x01, 's'}, checked); err != nil || checked.Err != nil {
			t.Errorf("%T: got %v and %v", message, err, checked.Err)
		}
	}
}
