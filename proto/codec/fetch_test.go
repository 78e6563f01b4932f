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

// A page of stored batches arrives byte for byte, and generated code reads the same of it.
func TestFetchResponseIsTheGeneratedMessage(t *testing.T) {
	t.Parallel()
	for seed := range 100 {
		s := newSource(seed)
		hand := &codec.FetchResponse{
			Page:       codec.SubscribeResponse{HighWatermark: int64(s.number()), LogStart: int64(s.number()), Batches: join(s.batches(s.IntN(4))...)},
			NextOffset: int64(s.number()),
		}
		if s.chance() {
			hand.Page.Messages = s.messages()
		}
		wire := marshal(t, hand)
		var got codec.FetchResponse
		if err := unmarshal(wire, &got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(hand.Page.Messages, got.Page.Messages, protocmp.Transform()); diff != "" {
			t.Fatalf("seed %d: messages (-want +got):\n%s", seed, diff)
		}
		if !bytes.Equal(got.Page.Batches, hand.Page.Batches) || got.NextOffset != hand.NextOffset ||
			got.Page.HighWatermark != hand.Page.HighWatermark || got.Page.LogStart != hand.Page.LogStart {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, hand)
		}
		var generated trestlev1.FetchResponse
		if err := proto.Unmarshal(wire, &generated); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if generated.GetNextOffset() != hand.NextOffset || generated.GetPage().GetLogStart() != hand.Page.LogStart {
			t.Fatalf("seed %d: generated code reads %v", seed, &generated)
		}
	}
}
