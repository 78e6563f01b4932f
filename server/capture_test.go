package server_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

// What plain NATS clients publish comes back as it was, whatever bytes it is made of.
func TestCaptureKeepsEverything(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "all", ">")
	k.publish(t,
		&nats.Msg{Subject: "orders.1", Data: []byte("plain")},
		&nats.Msg{Subject: "orders.1", Data: []byte{}},
		&nats.Msg{Subject: "orders.eu.2", Reply: "answers.here", Data: []byte("with a reply subject")},
		&nats.Msg{Subject: "caf\xe9.\xff\xfe", Data: []byte("a subject that is not UTF-8")},
		&nats.Msg{Subject: "h", Data: []byte("headers"), Header: nats.Header{
			"b": {"2", "1", "2"}, "a": {""}, "Nats-Msg-Id": {"id-1"},
		}},
		&nats.Msg{Subject: "h", Data: []byte{}, Header: nats.Header{"only": {"headers"}}},
	)
	k.publishRaw(t, "raw", "NATS/1.0\r\nn\xe4me: \xff\x00value\r\n\r\n", "a header name that is not UTF-8")
	k.publishRaw(t, "raw", "NATS/1.0\r\nno colon\r\n\r\n", "headers that cannot be read")
	got := read(t, s, 8, client.FromEarliest())
	want := []client.Message{
		{Subject: "orders.1", Value: []byte("plain")},
		{Subject: "orders.1", Value: []byte{}},
		{Subject: "orders.eu.2", Reply: "answers.here", Value: []byte("with a reply subject")},
		{Subject: "caf\xe9.\xff\xfe", Value: []byte("a subject that is not UTF-8")},
		{Subject: "h", Value: []byte("headers"), Headers: []client.HeaderField{
			{Name: "Nats-Msg-Id", Value: []byte("id-1")},
			{Name: "a", Value: []byte{}},
			{Name: "b", Value: []byte("2")},
			{Name: "b", Value: []byte("1")},
			{Name: "b", Value: []byte("2")},
		}},
		{Subject: "h", Value: []byte{}, Headers: []client.HeaderField{{Name: "only", Value: []byte("headers")}}},
		{Subject: "raw", Value: []byte("a header name that is not UTF-8"), Headers: []client.HeaderField{
			{Name: "n\xe4me", Value: []byte("\xff\x00value")},
		}},
		{Subject: "raw", Value: []byte("headers that cannot be read"), Headers: []client.HeaderField{
			{Name: "Trestle-Bad-Headers", Value: []byte("1")},
		}},
	}
	for i := range want {
		want[i].Stream, want[i].Offset = "all", int64(i)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(client.Message{}, "Time", "LeaderEpoch"), cmp.AllowUnexported(client.Message{})); diff != "" {
		t.Errorf("messages differ (-want +got):\n%s", diff)
	}
}

// A stream records what its patterns stand for and nothing else; two streams may record the same message; NATS's own
// subjects are nobody's.
func TestCaptureSubjects(t *testing.T) {
	t.Parallel()
	k := start(t)
	everything := k.create(t, "everything", ">")
	some := k.create(t, "some", "a.*.c", "b.>")
	for _, subject := range []string{"a.b.c", "a.b", "b.x", "_INBOX.x", "b", "$x.y", "b.x.y"} {
		k.publish(t, &nats.Msg{Subject: subject, Data: []byte(subject)})
	}
	if diff := cmp.Diff([]string{"a.b.c", "a.b", "b.x", "b", "b.x.y"}, values(read(t, everything, 5, client.FromEarliest()))); diff != "" {
		t.Errorf("stream everything (-want +got):\n%s", diff)
	}
	got := values(read(t, some, 3, client.FromEarliest()))
	if diff := cmp.Diff([]string{"a.b.c", "b.x", "b.x.y"}, got); diff != "" {
		t.Errorf("stream some (-want +got):\n%s", diff)
	}
}

// A message larger than a batch, and than a chunk, comes back whole.
func TestCaptureLargeMessages(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "large", "large")
	var want []string
	for i, size := range []int{1 << 20, 10, 7 << 20, 1<<20 - 106, 8<<20 - 1024, 0} {
		data := slices.Repeat([]byte{byte('a' + i)}, size)
		want = append(want, string(data))
		k.publish(t, &nats.Msg{Subject: "large", Data: data})
	}
	got := values(read(t, s, len(want), client.FromEarliest()))
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d: got %d bytes, want %d bytes of %q", i, len(got[i]), len(want[i]), rune('a'+i))
		}
	}
}

// A burst from several publishers is stored in full, each publisher's messages in its order, and a restart keeps all.
func TestCaptureBurstAndRestart(t *testing.T) {
	t.Parallel()
	const publishers, each = 4, 25_000
	k := start(t)
	s := k.create(t, "burst", "burst.*")
	done := make(chan error, publishers)
	for p := range publishers {
		go func() {
			nc, err := nats.Connect(k.NATS(), nats.Timeout(patience))
			if err != nil {
				done <- err
				return
			}
			defer nc.Close()
			for i := range each {
				if err := nc.Publish(fmt.Sprintf("burst.%d", p), fmt.Appendf(nil, "%d", i)); err != nil {
					done <- err
					return
				}
			}
			done <- nc.FlushTimeout(patience)
		}()
	}
	for range publishers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	before := read(t, s, publishers*each, client.FromEarliest())
	next := map[string]int{}
	for i, m := range before {
		if string(m.Value) != fmt.Sprint(next[m.Subject]) || m.Offset != int64(i) {
			t.Fatalf("offset %d, %s: got %q at %d, want %d", m.Offset, m.Subject, m.Value, i, next[m.Subject])
		}
		next[m.Subject]++
	}
	if err := k.client.Close(); err != nil {
		t.Fatal(err)
	}
	k.Brokers[0].Stop()
	k.Brokers[0].Start()
	k.connect(t)
	s = k.client.Stream("burst")
	after := read(t, s, -1, client.FromEarliest(), client.UntilLatest())
	if len(after) != len(before) {
		t.Fatalf("%d messages before the restart, %d after it", len(before), len(after))
	}
	for i := range before { // one by one: cmp takes half a minute for all
		if !reflect.DeepEqual(before[i], after[i]) {
			t.Fatalf("after the restart (-before +after):\n%s", cmp.Diff(before[i], after[i], cmp.AllowUnexported(client.Message{})))
		}
	}
	k.publish(t, &nats.Msg{Subject: "burst.9", Data: []byte("goes on")})
	if m := read(t, s, 1, client.FromOffset(publishers*each))[0]; string(m.Value) != "goes on" {
		t.Errorf("got %q at offset %d", m.Value, m.Offset)
	}
}
