package rpc_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func (k *kit) setCursor(t testing.TB, id string, partition int32, offset int64) {
	t.Helper()
	res, err := k.cursors.SetCursor(t.Context(), &trestlev1.SetCursorRequest{Cursor: &trestlev1.Cursor{
		Id: id, Stream: "s", Partition: partition, NextOffset: offset,
	}})
	if err != nil || res.GetCursor().GetNextOffset() != offset || res.GetCursor().GetTime() == 0 {
		t.Fatalf("setting %s: got %v, %v", id, res, err)
	}
}

func (k *kit) cursorAt(t testing.TB, id string, partition int32) int64 {
	t.Helper()
	res, err := k.cursors.GetCursor(t.Context(), &trestlev1.GetCursorRequest{Id: id, Stream: "s", Partition: partition})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetCursor().GetNextOffset()
}

// listCursors is id/partition=offset of all, over pages of two.
func (k *kit) listCursors(t testing.TB) (list []string) {
	t.Helper()
	for token := ""; ; {
		page, err := k.cursors.ListCursors(t.Context(), &trestlev1.ListCursorsRequest{Stream: "s", PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.GetCursors() {
			list = append(list, fmt.Sprintf("%s/%d=%d", c.GetId(), c.GetPartition(), c.GetNextOffset()))
		}
		if token = page.GetNextPageToken(); token == "" {
			return list
		}
	}
}

// Cursors are what was set last, through a restart, and go with their stream: one of the same name has none (2.12).
func TestCursors(t *testing.T) {
	t.Parallel()
	k := start(t)
	two := func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(2) }
	k.create(t, "s", two)
	k.publish(t, "s", "0", "1", "2", "3", "4")
	if _, err := k.log.Publish(t.Context(), &trestlev1.PublishRequest{Stream: "s", Partition: proto.Int32(1), Records: request("s", "0", "1").GetRecords()}); err != nil {
		t.Fatal(err)
	}
	k.setCursor(t, "b", 0, 1)
	k.setCursor(t, "b", 1, 2)
	k.setCursor(t, "a/ä", 1, 0)
	k.setCursor(t, "b", 0, 0)
	k.setCursor(t, "gone", 0, 5)
	if _, err := k.cursors.DeleteCursor(t.Context(), &trestlev1.DeleteCursorRequest{Id: "gone", Stream: "s"}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.cursors.DeleteCursor(t.Context(), &trestlev1.DeleteCursorRequest{Id: "never", Stream: "s"}); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	want := []string{"a/ä/1=0", "b/0=0", "b/1=2"}
	same(t, "cursors", want, k.listCursors(t))
	k.Brokers[0].Stop()
	k.Brokers[0].Start()
	same(t, "after a restart", want, k.listCursors(t))
	if got := k.cursorAt(t, "b", 1); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
	_, err := k.cursors.GetCursor(t.Context(), &trestlev1.GetCursorRequest{Id: "gone", Stream: "s"})
	refused(t, "deleted", err, codes.NotFound, "CURSOR_NOT_FOUND")
	if _, err := k.streams.DeleteStream(t.Context(), &trestlev1.DeleteStreamRequest{Name: "s"}); err != nil {
		t.Fatal(err)
	}
	_, err = k.cursors.ListCursors(t.Context(), &trestlev1.ListCursorsRequest{Stream: "s"})
	refused(t, "deleted stream", err, codes.NotFound, "STREAM_NOT_FOUND")
	k.create(t, "s", two)
	same(t, "of another stream of the name", []string(nil), k.listCursors(t))
}

// Of positions that are set at once one holds, and everyone is told the same one.
func TestCursorsAtOnce(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.publish(t, "s", "0", "1", "2", "3", "4", "5", "6")
	for range 10 {
		var setting sync.WaitGroup
		for i := range 8 {
			setting.Go(func() {
				_, err := k.cursors.SetCursor(t.Context(), &trestlev1.SetCursorRequest{Cursor: &trestlev1.Cursor{Id: "c", Stream: "s", NextOffset: int64(i)}})
				if err != nil {
					t.Error(err)
				}
			})
		}
		setting.Wait()
		read := &trestlev1.SubscribeRequest{Stream: "__cursors", Start: latest(), Stop: latest(), View: trestlev1.View_VIEW_MESSAGES}
		read.Start = &trestlev1.Position{At: &trestlev1.Position_Last{Last: 1}}
		page := k.fetch(t, &trestlev1.FetchRequest{Read: read})
		var last trestlev1.StoredCursor
		if err := proto.Unmarshal(page.GetPage().GetMessages()[0].GetRecord().GetValue(), &last); err != nil {
			t.Fatal(err)
		}
		if got := k.cursorAt(t, "c", 0); got != last.GetNextOffset() {
			t.Errorf("got %d, and %d was stored last", got, last.GetNextOffset())
		}
	}
}

// A reader that starts at a cursor goes on there, and is told if what it read before was lost.
func TestReadFromCursor(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	k.publish(t, "s", "0", "1", "2", "3")
	k.setCursor(t, "c", 0, 2)
	k.setCursor(t, "end", 0, 3)
	named := func(id string) *trestlev1.Position {
		return &trestlev1.Position{At: &trestlev1.Position_Cursor{Cursor: id}}
	}
	page := k.fetch(t, &trestlev1.FetchRequest{Read: &trestlev1.SubscribeRequest{Stream: "s", Start: named("c"), Stop: named("end")}})
	same(t, "from cursor to cursor", []int64{2}, offsetsOf(page.GetPage()))
	if _, err := k.cursors.SetCursor(t.Context(), &trestlev1.SetCursorRequest{Cursor: &trestlev1.Cursor{
		Id: "other", Stream: "s", NextOffset: 2, LeaderEpoch: 1,
	}}); err != nil {
		t.Fatal(err)
	}
	_, err := k.log.Fetch(t.Context(), &trestlev1.FetchRequest{Read: &trestlev1.SubscribeRequest{Stream: "s", Start: named("other")}})
	refused(t, "cursor of another history", err, codes.FailedPrecondition, "TRUNCATED")
}

func TestCursorRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	for name, test := range map[string]struct {
		cursor *trestlev1.Cursor
		code   codes.Code
		reason string
	}{
		"nothing":            {nil, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"long id":            {&trestlev1.Cursor{Id: strings.Repeat("x", 257), Stream: "s"}, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"negative offset":    {&trestlev1.Cursor{Id: "c", Stream: "s", NextOffset: -1}, codes.InvalidArgument, "INVALID_ARGUMENT"},
		"negative partition": {&trestlev1.Cursor{Id: "c", Stream: "s", Partition: -1}, codes.NotFound, "PARTITION_NOT_FOUND"},
		"path":               {&trestlev1.Cursor{Id: "c", Stream: "../../x"}, codes.NotFound, "STREAM_NOT_FOUND"},
	} {
		_, err := k.cursors.SetCursor(t.Context(), &trestlev1.SetCursorRequest{Cursor: test.cursor})
		refused(t, name, err, test.code, test.reason)
	}
	for _, token := range []string{"x", "1", "1/", "99999999999/x"} {
		_, err := k.cursors.ListCursors(t.Context(), &trestlev1.ListCursorsRequest{Stream: "s", PageToken: token})
		refused(t, "token "+token, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	}
	k.publish(t, "s", "0", "1")
	for _, beyond := range []int64{3, 1<<63 - 1} {
		_, err := k.cursors.SetCursor(t.Context(), &trestlev1.SetCursorRequest{Cursor: &trestlev1.Cursor{Id: "c", Stream: "s", NextOffset: beyond}})
		refused(t, "beyond the next offset", err, codes.OutOfRange, "OFFSET_BEYOND_END")
		if text := status.Convert(err).Message(); !strings.Contains(text, fmt.Sprint(beyond)) || !strings.Contains(text, "2") {
			t.Errorf("it does not name %d and the next offset 2: %s", beyond, text)
		}
	}
	_, err := k.log.Publish(t.Context(), request("__cursors", "v"))
	refused(t, "publishing to it", err, codes.PermissionDenied, "INTERNAL_STREAM")
	if got := k.listCursors(t); len(got) != 0 {
		t.Errorf("something refused was stored: %v", got)
	}
}
