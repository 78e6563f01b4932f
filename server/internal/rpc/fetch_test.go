package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// offsetsOf are those of the records of a page, in the order of delivery.
func offsetsOf(page *trestlev1.SubscribeResponse) (offsets []int64) {
	for _, b := range page.GetBatches() {
		for i := range b.GetRecords().GetRecords() {
			offsets = append(offsets, b.GetBaseOffset()+int64(i))
		}
	}
	for _, m := range page.GetMessages() {
		if m.GetRecord() != nil {
			offsets = append(offsets, m.GetOffset())
		}
	}
	return offsets
}

// Pages of any size, in both views and both directions, put together are the whole log and nothing else.
func TestFetchPages(t *testing.T) {
	t.Parallel()
	const n = 30
	k := start(t)
	k.create(t, "s")
	for i := 0; i < n; {
		var values []string
		for range min(i%6+1, n-i) {
			values = append(values, fmt.Sprint(i))
			i++
		}
		k.publish(t, "s", values...)
	}
	for _, view := range []trestlev1.View{trestlev1.View_VIEW_BATCHES, trestlev1.View_VIEW_MESSAGES} {
		for most := range uint32(9) {
			t.Run(fmt.Sprintf("%v/%d", view, most), func(t *testing.T) {
				t.Parallel()
				var forward, backward []int64
				for next := int64(0); next < n; {
					page := k.fetch(t, &trestlev1.FetchRequest{
						MaxRecords: most, Read: &trestlev1.SubscribeRequest{Stream: "s", View: view, Start: at(next), Stop: latest()},
					})
					got := offsetsOf(page.GetPage())
					if len(got) == 0 || most > 0 && len(got) > int(most) || page.GetNextOffset() <= next {
						t.Fatalf("from %d: got %v and next offset %d", next, got, page.GetNextOffset())
					}
					forward, next = append(forward, got...), page.GetNextOffset()
				}
				for next := int64(n - 1); ; {
					page := k.fetch(t, &trestlev1.FetchRequest{
						MaxRecords: most, Read: &trestlev1.SubscribeRequest{Stream: "s", View: view, Start: at(next), Backwards: true},
					})
					got := offsetsOf(page.GetPage())
					if len(got) == 0 || most > 0 && len(got) > int(most) {
						t.Fatalf("back from %d: got %v", next, got)
					}
					backward = append(backward, got...)
					if next = page.GetNextOffset(); next < page.GetPage().GetLogStart() {
						break
					}
				}
				seen := map[int64]int{}
				for i, offset := range forward {
					if offset != int64(i) {
						t.Fatalf("forward: got %v", forward)
					}
				}
				for i, offset := range backward {
					seen[offset]++
					if view == trestlev1.View_VIEW_MESSAGES && offset != int64(n-1-i) {
						t.Fatalf("backwards: got %v", backward)
					}
				}
				if len(forward) != n || len(backward) != n || len(seen) != n {
					t.Errorf("got %d forward and %d backwards, %d different, want %d", len(forward), len(backward), len(seen), n)
				}
			})
		}
	}
}

func (k *kit) fetch(t testing.TB, req *trestlev1.FetchRequest) *trestlev1.FetchResponse {
	t.Helper()
	page, err := k.log.Fetch(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// Without wait a Fetch at the end is answered at once, with the bounds; with it, it waits for a record and no longer.
func TestFetchWaits(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.publish(t, "s", "0")
	read := &trestlev1.SubscribeRequest{Stream: "s", Start: at(1)}
	page := k.fetch(t, &trestlev1.FetchRequest{Read: read})
	if len(offsetsOf(page.GetPage())) != 0 || page.GetNextOffset() != 1 || page.GetPage().GetHighWatermark() != 1 {
		t.Errorf("at the end: got %v", page)
	}
	begin := time.Now()
	page = k.fetch(t, &trestlev1.FetchRequest{Read: read, Wait: durationpb.New(100 * time.Millisecond)})
	if len(offsetsOf(page.GetPage())) != 0 || time.Since(begin) < 100*time.Millisecond {
		t.Errorf("waiting for nothing: got %v after %v", page, time.Since(begin))
	}
	got := make(chan *trestlev1.FetchResponse, 1)
	go func() {
		page, err := k.log.Fetch(t.Context(), &trestlev1.FetchRequest{Read: read, Wait: durationpb.New(time.Minute)})
		if err != nil {
			t.Error(err)
		}
		got <- page
	}()
	k.publish(t, "s", "1")
	if page := <-got; len(offsetsOf(page.GetPage())) != 1 || page.GetNextOffset() != 2 {
		t.Errorf("waiting: got %v", page)
	}
}

func TestFetchRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.publish(t, "s", "0")
	for name, test := range map[string]struct {
		change func(*trestlev1.FetchRequest)
		code   codes.Code
		reason string
	}{
		"no stream":          {func(r *trestlev1.FetchRequest) { r.Read.Stream = "" }, codes.NotFound, "STREAM_NOT_FOUND"},
		"path":               {func(r *trestlev1.FetchRequest) { r.Read.Stream = "../../x" }, codes.NotFound, "STREAM_NOT_FOUND"},
		"negative partition": {func(r *trestlev1.FetchRequest) { r.Read.Partition = -1 }, codes.NotFound, "PARTITION_NOT_FOUND"},
		"large partition":    {func(r *trestlev1.FetchRequest) { r.Read.Partition = 1<<31 - 1 }, codes.NotFound, "PARTITION_NOT_FOUND"},
		"negative offset":    {func(r *trestlev1.FetchRequest) { r.Read.Start = at(-1) }, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"large offset":       {func(r *trestlev1.FetchRequest) { r.Read.Start = at(1<<63 - 1) }, codes.OutOfRange, "OFFSET_BEYOND_END"},
		"epoch, no offset":   {func(r *trestlev1.FetchRequest) { r.Read.Start, r.Read.LeaderEpoch = earliest(), 1 }, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"other history":      {func(r *trestlev1.FetchRequest) { r.Read.Start, r.Read.LeaderEpoch = at(1), 1 }, codes.FailedPrecondition, "TRUNCATED"},
		"negative wait":      {func(r *trestlev1.FetchRequest) { r.Wait = durationpb.New(-1) }, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"no cursor": {func(r *trestlev1.FetchRequest) {
			r.Read.Start = &trestlev1.Position{At: &trestlev1.Position_Cursor{Cursor: "c"}}
		}, codes.NotFound, "CURSOR_NOT_FOUND"},
	} {
		req := &trestlev1.FetchRequest{Read: &trestlev1.SubscribeRequest{Stream: "s"}}
		test.change(req)
		_, err := k.log.Fetch(t.Context(), req)
		refused(t, name, err, test.code, test.reason)
	}
	for _, backwards := range []bool{false, true} {
		_, err := k.log.Fetch(t.Context(), &trestlev1.FetchRequest{Read: &trestlev1.SubscribeRequest{
			Stream: "s", Start: at(1<<63 - 1), Backwards: backwards,
		}})
		if text := status.Convert(err).Message(); !strings.Contains(text, "9223372036854775807") {
			t.Errorf("the largest offset, backwards %v: %s", backwards, text)
		}
	}
}
