package codec_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// FuzzPublishRequest holds the decoder against the generated one: it takes what that takes and reads the same, and what
// it takes beyond that is at fault within the records, which it does not look at.
func FuzzPublishRequest(f *testing.F) {
	for seed := range 20 {
		r := newSource(seed).publishRequest()
		f.Add(encode(f, r))
		f.Add(join(encode(f, r), encode(f, &trestlev1.PublishRequest{Records: newSource(-seed).records()})))
	}
	f.Add([]byte{0x1a, 2, 0x0a, 1, 0x1a, 1, 'x'})
	f.Add([]byte{0x7b, 0x08, 1, 0x7c, 0x08, 1, 0x12, 1, 'x', 0x0a, 1, 0xff})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var generated trestlev1.PublishRequest
		generatedErr := proto.Unmarshal(wire, &generated)
		var hand codec.PublishRequest
		err := unmarshal(wire, &hand)
		if err != nil {
			if generatedErr == nil {
				t.Fatalf("generated code takes it, Unmarshal says: %v", err)
			}
			return
		}
		if generatedErr == nil {
			checkPublishRequest(t, &generated, &hand)
		} else if proto.Unmarshal(hand.Records, new(trestlev1.Records)) == nil {
			t.Fatalf("Unmarshal takes it and so does generated code for its records, but for the whole it says: %v", generatedErr)
		}
		hand.Unknown = 0 // it is not sent
		again := new(codec.PublishRequest)
		if err := unmarshal(marshal(t, &hand), again); err != nil {
			t.Fatalf("Unmarshal of what Marshal made: %v", err)
		}
		if diff := cmp.Diff(&hand, again, butFrame); diff != "" {
			t.Fatalf("decoded, encoded, decoded (-first +second):\n%s", diff)
		}
	})
}

// FuzzSubscribeResponse is the same for responses, of whose batches it does not see the inside.
func FuzzSubscribeResponse(f *testing.F) {
	for seed := range 20 {
		s := newSource(seed)
		batches := s.batches(3)
		r := &codec.SubscribeResponse{Batches: join(batches...), HighWatermark: int64(s.number()), Messages: s.messages()}
		f.Add(marshal(f, r))
		f.Add(join(batches[0], shortest(batches[1]), []byte{0x10, 1}, longest(batches[2])))
	}
	f.Add([]byte{0x0a, 0x00, 0x0a, 0x80, 0x80, 0x80, 0x00, 0x22, 0x00})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var generated trestlev1.SubscribeResponse
		generatedErr := proto.Unmarshal(wire, &generated)
		var hand codec.SubscribeResponse
		err := unmarshal(wire, &hand)
		if err != nil {
			if generatedErr == nil {
				t.Fatalf("generated code takes it, Unmarshal says: %v", err)
			}
			return
		}
		count := len(elements(t, hand.Batches))
		var batches trestlev1.Batches
		batchesErr := proto.Unmarshal(hand.Batches, &batches)
		if (generatedErr == nil) != (batchesErr == nil) {
			t.Fatalf("generated code says of the whole: %v; of the batches: %v", generatedErr, batchesErr)
		}
		if generatedErr == nil {
			if count != len(generated.Batches) {
				t.Fatalf("%d batches, generated code reads %d", count, len(generated.Batches))
			}
			got := &trestlev1.SubscribeResponse{
				Batches:       batches.Batches,
				HighWatermark: hand.HighWatermark,
				LogStart:      hand.LogStart,
				Messages:      hand.Messages,
			}
			generated.ProtoReflect().SetUnknown(nil)
			if diff := cmp.Diff(&generated, got, protocmp.Transform()); diff != "" {
				t.Fatalf("(-generated +hand):\n%s", diff)
			}
		}
		again := new(codec.SubscribeResponse)
		if err := unmarshal(marshal(t, &hand), again); err != nil {
			t.Fatalf("Unmarshal of what Marshal made: %v", err)
		}
		if !bytes.Equal(again.Batches, hand.Batches) {
			t.Fatal("batches changed when they were encoded and decoded again")
		}
	})
}
