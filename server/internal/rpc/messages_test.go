package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// collect reads a subscription that ends.
func (k *kit) collect(t testing.TB, req *trestlev1.SubscribeRequest) (offsets []int64, messages []*trestlev1.Message) {
	t.Helper()
	stream, err := k.log.Subscribe(t.Context(), req)
	for err == nil {
		var res *trestlev1.SubscribeResponse
		if res, err = stream.Recv(); err == nil {
			offsets, messages = append(offsets, offsetsOf(res)...), append(messages, res.GetMessages()...)
			if size := proto.Size(res); size > 1<<20+1<<16 {
				t.Errorf("a response of %d bytes", size)
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return offsets, messages
}

// Messages say all that was published, each with its place; those of a batch with a long common subject are more bytes than
// the batch, and no response is larger for it.
func TestMessages(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(c *trestlev1.StreamConfig) { c.Subjects = []string{"s.>"} })
	full := &trestlev1.Record{
		Key: []byte{}, Value: []byte("v"), Subject: []byte("s.own"), Reply: []byte("r"),
		Headers: []*trestlev1.Header{{Name: []byte("n"), Value: []byte("1")}, {Name: []byte("n"), Value: []byte("2")}},
	}
	req := request("s", "plain")
	req.Records.Subject = []byte("s." + string(make200()))
	req.Records.Records = append(req.Records.Records, full, &trestlev1.Record{Key: []byte("k"), Tombstone: true})
	for range 20_000 {
		req.Records.Records = append(req.Records.Records, &trestlev1.Record{Value: []byte("x")})
	}
	res, err := k.log.Publish(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	ack := res.GetAcks()[0]
	offsets, messages := k.collect(t, &trestlev1.SubscribeRequest{Stream: "s", Start: earliest(), Stop: latest(), View: trestlev1.View_VIEW_MESSAGES})
	if len(offsets) != 20_003 || offsets[20_002] != 20_002 {
		t.Fatalf("got %d messages", len(offsets))
	}
	same(t, "a message", &trestlev1.Message{
		Offset: 1, Time: ack.GetTime(), LeaderEpoch: ack.GetLeaderEpoch(), Record: full,
	}, messages[1], protocmp.Transform())
	if m := messages[0].GetRecord(); string(m.GetSubject()) != string(req.Records.Subject) || m.Key != nil {
		t.Errorf("the common subject: got %v", m)
	}
	if m := messages[2].GetRecord(); !m.GetTombstone() || m.Value != nil {
		t.Errorf("a tombstone: got %v", m)
	}
	back, _ := k.collect(t, &trestlev1.SubscribeRequest{Stream: "s", Start: latest(), Stop: at(19_000), Backwards: true, View: trestlev1.View_VIEW_MESSAGES})
	if len(back) != 1002 || back[0] != 20_002 || back[1001] != 19_001 {
		t.Errorf("backwards: got %d from %v", len(back), back[:min(3, len(back))])
	}
}

func make200() []byte {
	b := make([]byte, 200)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// Ranges by time are exact, forwards and backwards (1.12), and a pause is a message of its own.
func TestReadByTime(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	var times []int64
	for i := range 5 {
		times = append(times, k.publish(t, "s", fmt.Sprint(i)).GetTime())
	}
	when := func(nanos int64) *trestlev1.Position {
		return &trestlev1.Position{At: &trestlev1.Position_Time{Time: nanos}}
	}
	const forEver = 1<<63 - 1
	for name, test := range map[string]struct {
		req  *trestlev1.SubscribeRequest
		want []int64
	}{
		"from one to another":      {&trestlev1.SubscribeRequest{Start: when(times[1]), Stop: when(times[3])}, []int64{1, 2}},
		"from between":             {&trestlev1.SubscribeRequest{Start: when(times[2] + 1), Stop: latest()}, []int64{3, 4}},
		"from the beginning":       {&trestlev1.SubscribeRequest{Start: when(-forEver - 1), Stop: when(times[1])}, []int64{0}},
		"from later":               {&trestlev1.SubscribeRequest{Start: when(forEver), Stop: latest()}, nil},
		"backwards from one":       {&trestlev1.SubscribeRequest{Start: when(times[3]), Stop: when(times[1]), Backwards: true}, []int64{3, 2, 1}},
		"backwards from later":     {&trestlev1.SubscribeRequest{Start: when(forEver), Backwards: true}, []int64{4, 3, 2, 1, 0}},
		"backwards down to no one": {&trestlev1.SubscribeRequest{Start: latest(), Stop: at(forEver), Backwards: true}, nil},
		"backwards from the end":   {&trestlev1.SubscribeRequest{Stop: at(2), Backwards: true}, []int64{4, 3}},
	} {
		test.req.Stream = "s"
		got, _ := k.collect(t, test.req)
		same(t, name, test.want, got)
	}
	for _, mode := range []trestlev1.Mode{trestlev1.Mode_MODE_PAUSED, trestlev1.Mode_MODE_ACTIVE} {
		if _, err := k.streams.SetStreamMode(t.Context(), &trestlev1.SetStreamModeRequest{Name: "s", Mode: mode}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := k.log.Subscribe(t.Context(), &trestlev1.SubscribeRequest{Stream: "s", Start: at(4), View: trestlev1.View_VIEW_MESSAGES})
	if err != nil {
		t.Fatal(err)
	}
	for {
		res, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range res.GetMessages() {
			if gap := m.GetGap(); gap != nil {
				if gap.GetCause() != trestlev1.GapCause_GAP_CAUSE_PAUSED || m.GetOffset() != 5 || m.GetRecord() != nil || gap.GetFromTime() < times[4]-int64(time.Minute) {
					t.Errorf("got %v", m)
				}
				return
			}
		}
	}
}
