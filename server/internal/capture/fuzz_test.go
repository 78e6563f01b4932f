package capture

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/fanout"
)

// Whatever is published becomes a record that is read back as it was stored, the same each time, and a message that is no
// envelope keeps its payload. Headers are given as lines of name:value.
func FuzzRecord(f *testing.F) {
	whole := envelope.Message{
		Key: []byte("k"), Value: []byte("v"), AckInbox: []byte("a.b"), Headers: []envelope.Header{{Name: []byte("n"), Value: []byte{0xff}}},
		Expect: envelope.ExpectOffset(3), Checksum: true,
	}
	frame, err := whole.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("orders", "", "", []byte("plain"))
	f.Add("caf\xe9", "_INBOX.x", "a:1\na:2\nNats-Msg-Id:7", []byte{})
	f.Add("orders", "r", "Nats-Expected-Last-Sequence:4\nNats-Expected-Stream:s", frame)
	f.Add("o", "$x", "Trestle-Key:aw==\nTrestle-Tombstone:1\nTrestle-Origin:v1 x", []byte("\xB9\x0E\x43\xB4\x00\xFF\x00\x00"))
	f.Fuzz(func(t *testing.T, subject, reply, headers string, payload []byte) {
		msg := &message{subject: []byte(subject), reply: []byte(reply), data: payload, header: blockOf(headers)}
		header := (&Source{config: Config{Logger: slog.New(slog.DiscardHandler)}}).headerOf(msg)
		var r, twin recorder
		stored := batch.AppendRecord(nil, r.of(msg, header, false))
		if again := batch.AppendRecord(nil, r.of(msg, header, false)); !bytes.Equal(stored, again) {
			t.Fatalf("first %q, then %q", stored, again)
		}
		if other := batch.AppendRecord(nil, twin.of(msg, header, false)); !bytes.Equal(stored, other) {
			t.Fatalf("here %q, there %q", stored, other)
		}
		checkStored(t, stored, &r)
		if string(r.record.Subject) != subject || string(r.record.Reply) != reply {
			t.Errorf("subject %q and reply %q", r.record.Subject, r.record.Reply)
		}
		if _, err := envelope.Parse(payload); (err == nil) != r.enveloped || err != nil && !bytes.Equal(r.record.Value, payload) {
			t.Errorf("the payload %q became %q: %v", payload, r.record.Value, err)
		}
		if subject == "" {
			return // NATS has no such message
		}
		settings := &Settings{Stream: "s", PubAck: true, ExpectedOffsets: true, MaxMessageBytes: 100}
		if a := r.asked(msg, settings); a != nil && (strings.HasPrefix(a.inbox+a.reply, "$") || strings.ContainsAny(a.inbox+a.reply, " \r\n") || wild(a.inbox+a.reply)) {
			t.Errorf("%q is answered", a.inbox+a.reply)
		}
		_, _ = r.expectation(msg, header, settings)
		_ = refuseSize(&r.record, settings)
		for _, by := range []Sharing{{Subject: true}, {Token: 2}, {Header: "a"}} {
			if n := by.partitionOf(&r.record, 3); n < 0 || n > 2 {
				t.Errorf("partition %d of 3", n)
			}
		}
	})
}

func wild(subject string) bool {
	tokens := strings.Split(subject, ".")
	return slices.Contains(tokens, "*") || slices.Contains(tokens, ">")
}

// checkStored reads the record back.
func checkStored(t *testing.T, stored []byte, r *recorder) {
	t.Helper()
	if _, err := batch.CheckRecords(stored, func(got *batch.Record) error {
		if !bytes.Equal(got.Key, r.record.Key) || (got.Key == nil) != (r.record.Key == nil) || got.Value == nil ||
			!bytes.Equal(got.Value, r.record.Value) || got.Tombstone != r.record.Tombstone ||
			!slices.EqualFunc(got.Headers, r.record.Headers, func(a, b batch.HeaderField) bool {
				return bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Value, b.Value)
			}) {
			t.Errorf("stored %+v, read %+v", r.record, got)
		}
		for i := range got.Headers {
			if !r.enveloped && string(got.Headers[i].Name) == fanout.OriginName {
				t.Error("a marker is stored")
			}
		}
		return nil
	}); err != nil {
		t.Errorf("%q cannot be read: %v", stored, err)
	}
}

// blockOf is a header as it is sent, of lines of name:value.
func blockOf(lines string) []byte {
	if lines == "" {
		return nil
	}
	return []byte("NATS/1.0\r\n" + strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n\r\n")
}
