package capture_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func frame(t *testing.T, m envelope.Message) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inbox is a subject that acks go to.
func (w *world) inbox(subject string) *nats.Subscription {
	w.t.Helper()
	sub, err := w.client.SubscribeSync(subject)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return sub
}

func nextAck(t *testing.T, sub *nats.Subscription) envelope.Ack {
	t.Helper()
	msg, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := envelope.ParseAck(msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// An envelope is acknowledged once its message is as safe as its policy says; NONE gets nothing (2.11, interfaces.md 3.10).
func TestEnvelopeAcks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acks := w.inbox("answers.here")
	w.subscribe(target("s", "orders.*"), w.lead())
	for i, policy := range []envelope.AckPolicy{envelope.AckLeader, envelope.AckNone, envelope.AckAll} {
		w.publish(&nats.Msg{Subject: "orders.eu", Data: frame(t, envelope.Message{
			Value: []byte("v"), AckInbox: []byte("answers.here"), CorrelationID: []byte{byte(i), 0xff}, AckPolicy: policy,
		})})
	}
	before := time.Now().Add(-time.Minute).UnixNano()
	for _, want := range []struct {
		policy envelope.AckPolicy
		offset int64
	}{{envelope.AckLeader, 0}, {envelope.AckAll, 2}} {
		ack := nextAck(t, acks)
		if ack.Err() != nil || ack.Offset != want.offset || ack.AckPolicy != want.policy || string(ack.Stream) != "s" ||
			string(ack.PartitionSubject) != "orders.*" || string(ack.Subject) != "orders.eu" || string(ack.AckInbox) != "answers.here" ||
			string(ack.CorrelationID) != string([]byte{byte(want.offset), 0xff}) || ack.ReceptionTime < before || ack.CommitTime < ack.ReceptionTime {
			t.Errorf("ack %+v, want %+v", ack, want)
		}
	}
	if c := w.Counters(); c.Captured != 3 || c.Envelopes != 3 || c.Acked != 2 {
		t.Errorf("counters %+v", c)
	}
}

// A repeated message id answers with the first offset (interfaces.md 3.8).
func TestEnvelopeRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acks := w.inbox("answers")
	w.subscribe(target("s", "orders"), w.lead())
	for _, id := range []string{"a", "b", "b"} {
		w.publish(&nats.Msg{Subject: "orders", Data: frame(t, envelope.Message{
			AckInbox: []byte("answers"), Headers: []envelope.Header{{Name: []byte(batch.MessageIDHeader), Value: []byte(id)}},
		})})
	}
	for _, want := range []int64{0, 1, 1} {
		if ack := nextAck(t, acks); ack.Err() != nil || ack.Offset != want {
			t.Errorf("ack %+v, want offset %d", ack, want)
		}
	}
}

// Expected offsets count on streams that ask for them alone (2.5), and are judged after dedup, where the message is
// appended; negative acks are sent whatever the policy.
func TestEnvelopeExpectedOffset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acks := w.inbox("answers")
	strict, lax := target("strict", "s"), target("lax", "l")
	strict.Settings.Set(capture.Settings{Stream: "strict", ExpectedOffsets: true})
	w.subscribe(strict, w.lead())
	w.subscribe(lax, w.lead())
	publish := func(subject string, expect int64, policy envelope.AckPolicy) {
		w.publish(&nats.Msg{Subject: subject, Data: frame(t, envelope.Message{
			AckInbox: []byte("answers"), Expect: envelope.ExpectOffset(expect), AckPolicy: policy,
		})})
	}
	for _, step := range []struct {
		subject string
		expect  int64
		policy  envelope.AckPolicy
		offset  int64
		err     envelope.AckError
	}{
		{"s", 1, envelope.AckNone, 0, envelope.IncorrectOffset},
		{"s", 0, envelope.AckAll, 0, envelope.NoError},
		{"s", 0, envelope.AckAll, 0, envelope.IncorrectOffset},
		{"s", 1, envelope.AckLeader, 1, envelope.NoError},
		{"s", -1, envelope.AckLeader, 2, envelope.NoError},
		{"l", 7, envelope.AckAll, 0, envelope.NoError},
	} {
		publish(step.subject, step.expect, step.policy)
		ack := nextAck(t, acks)
		if ack.Error != step.err || ack.Offset != step.offset || (step.err != 0) != (len(ack.Reason) > 0) {
			t.Errorf("%+v: ack %+v", step, ack)
		}
	}
}

// What is no whole envelope is a plain message with the same bytes, whatever it begins with.
func TestMalformedEnvelopesAreMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sink := newMemory()
	w.subscribe(target("s", "orders"), sink)
	whole := frame(t, envelope.Message{Key: []byte("k"), Value: []byte("v"), AckInbox: []byte("a"), Checksum: true})
	payloads := []string{"\xB9\x0E\x43\xB4\x00\xFF\x00\x00", "\xB9\x0E\x43\xB4", ""}
	for cut := 1; cut < len(whole); cut++ {
		payloads = append(payloads, string(whole[:cut]))
	}
	flipped := []byte(string(whole))
	flipped[len(flipped)-1] ^= 1
	payloads = append(payloads, string(flipped))
	for _, p := range payloads {
		w.publish(&nats.Msg{Subject: "orders", Data: []byte(p)})
	}
	for i, got := range sink.awaitRecords(t, len(payloads)) {
		if got.key != "" || got.value != payloads[i] || got.captured.OnAck != nil {
			t.Errorf("%q became %q", payloads[i], got.value)
		}
	}
	w.publish(&nats.Msg{Subject: "orders", Data: whole})
	if got := sink.awaitRecords(t, len(payloads)+1)[len(payloads)]; got.key != "k" || got.value != "v" || got.captured.OnAck == nil {
		t.Errorf("the whole one became %+v", got)
	}
}

// Acks go to literal subjects that are not NATS's own; a message that asks for another is stored all the same.
func TestAckSubjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sink := newMemory()
	w.subscribe(target("s", "orders"), sink)
	inboxes := []string{"$JS.API.STREAM.DELETE.x", "$SYS.a", "a.*", ">", "a b", "a\r\nPUB b 0\r\n\r\n", "", "a..b", "a."}
	for _, inbox := range inboxes {
		w.publish(&nats.Msg{Subject: "orders", Data: frame(t, envelope.Message{AckInbox: []byte(inbox)})})
	}
	for i, got := range sink.awaitRecords(t, len(inboxes)) {
		if got.captured.OnAck != nil {
			t.Errorf("%q would be answered", inboxes[i])
		}
	}
}

// A message that is larger than the stream takes becomes a gap and a negative ack (2.5); the setting may change meanwhile.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acks := w.inbox("answers")
	sink := newMemory()
	s := target("s", "orders")
	s.Settings.Set(capture.Settings{Stream: "s", MaxMessageBytes: 10})
	w.subscribe(s, sink)
	w.publish(
		&nats.Msg{Subject: "orders", Data: make([]byte, 10)},
		&nats.Msg{Subject: "orders", Data: make([]byte, 11)},
		&nats.Msg{Subject: "orders", Data: frame(t, envelope.Message{
			Key: make([]byte, 10), Value: make([]byte, 1), AckInbox: []byte("answers"), AckPolicy: envelope.AckNone,
		})},
	)
	if ack := nextAck(t, acks); ack.Error != envelope.TooLarge || len(ack.Reason) == 0 {
		t.Errorf("ack %+v", ack)
	}
	if gap := sink.awaitGap(t, batch.GapTooLarge); gap.AtLeast != 1 || !gap.Counted || gap.FromTime == 0 || gap.ToTime < gap.FromTime {
		t.Errorf("gap %+v", gap)
	}
	s.Settings.Set(capture.Settings{Stream: "s", MaxMessageBytes: 11})
	w.publish(&nats.Msg{Subject: "orders", Data: make([]byte, 11)})
	sink.awaitRecords(t, 2)
	if c := w.Counters(); c.TooLarge != 2 || c.Refused != 2 || c.Nacked != 1 {
		t.Errorf("counters %+v", c)
	}
}

// Whatever keeps a partition from storing is told, with a number and a reason, except an unknown outcome: nothing is said of
// that.
func TestNegativeAcks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acks := w.inbox("answers")
	sink := newMemory()
	s, err := w.Subscribe(t.Context(), target("s", "orders"), sink)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		err  error
		want envelope.AckError
	}{
		{partition.ErrPaused, 100},
		{partition.ErrReadOnly, 101},
		{&partition.DiskGuardError{TotalBytes: 100}, 102},
		{partition.ErrTooManyInFlight, 103},
		{partition.ErrOutcomeUnknown, 0},
		{partition.ErrClosed, 104},
	} {
		sink.mu.Lock()
		sink.refuse = step.err
		sink.mu.Unlock()
		w.publish(&nats.Msg{Subject: "orders", Data: frame(t, envelope.Message{AckInbox: []byte("answers")})})
		if step.want == 0 {
			continue
		}
		if ack := nextAck(t, acks); ack.Error != step.want || string(ack.Reason) != step.err.Error() {
			t.Errorf("%v: ack %+v", step.err, ack)
		}
	}
	if err := s.Drain(t.Context()); err == nil {
		t.Error("drained without a word about messages that were not stored")
	}
}

// The same holds for what a partition finds out later (S10).
func TestNegativeAcksLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acks := w.inbox("answers")
	sink := newMemory()
	w.subscribe(target("s", "orders"), sink)
	for range 2 {
		w.publish(&nats.Msg{Subject: "orders", Data: frame(t, envelope.Message{AckInbox: []byte("answers"), AckPolicy: envelope.AckAll})})
	}
	all := sink.awaitRecords(t, 2)
	all[0].captured.OnAck(partition.Ack{}, fmt.Errorf("%w: the disk is gone", partition.ErrOutcomeUnknown))
	all[1].captured.OnAck(partition.Ack{}, &partition.WrongOffsetError{Expected: 3, Next: 4})
	if ack := nextAck(t, acks); ack.Error != envelope.IncorrectOffset {
		t.Errorf("ack %+v", ack)
	}
	if c := w.Counters(); c.Refused != 1 || c.Nacked != 1 || c.Acked != 0 {
		t.Errorf("counters %+v", c)
	}
}
