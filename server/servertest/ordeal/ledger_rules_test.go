package ordeal

import (
	"strings"
	"testing"

	"github.com/trestlehq/trestle/client"
)

// Each rule of an audit finds what breaks it.
func TestAudit(t *testing.T) {
	t.Parallel()
	type world struct {
		plain, named *ledger
		stored       []client.Message
	}
	put := func(w *world, values ...[]byte) {
		for _, v := range values {
			w.stored = append(w.stored, client.Message{Offset: int64(len(w.stored)), Value: v})
		}
	}
	for _, c := range []struct {
		name    string
		disturb func(w *world)
		want    string // "": all is well
	}{
		{"nothing wrong", func(*world) {}, ""},
		{"acked and gone", func(w *world) { w.stored = w.stored[:4] }, "is gone"},
		{"acked elsewhere", func(w *world) { w.stored[1].Value, w.stored[4].Value = w.stored[4].Value, w.stored[1].Value }, "named"},
		{"twice", func(w *world) { put(w, w.named.payload(2)) }, "again at"},
		{"wrong order", func(w *world) {
			w.named.acked = nil
			w.stored[3].Value, w.stored[4].Value = w.named.payload(2), w.named.payload(1)
		}, "follows"},
		{"nobody's", func(w *world) { put(w, []byte("else 1 x")) }, "nobody sent"},
		{"never sent", func(w *world) { put(w, w.named.payload(99)) }, "not sent so"},
		{"damaged", func(w *world) {
			w.stored[0].Value = append([]byte(nil), w.stored[0].Value...)
			w.stored[0].Value[100] ^= 1
		}, "not sent so"},
		{"a hole in the offsets", func(w *world) { w.stored[2].Offset = 7 }, "follows"},
		{"a plain one missing", func(w *world) { w.plain.sent = 4; put(w, w.plain.payload(3)) }, "plain 2 is missing"},
		{"missing at a kill", func(w *world) { w.plain.sent, w.plain.begun = 4, []int{0, 3}; put(w, w.plain.payload(3)) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := &world{plain: newLedger("plain", "s", false), named: newLedger("named", "s", true)}
			w.plain.begin()
			for range 3 {
				w.plain.next()
				w.named.next()
			}
			put(w, w.plain.payload(0), w.named.payload(0), w.plain.payload(1), w.named.payload(1), w.named.payload(2))
			if err := w.named.ack(2, 4); err != nil {
				t.Fatal(err)
			}
			c.disturb(w)
			err := newAudit(w.plain, w.named).hold(w.stored)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What was read or shown before stays as it was, and acks do not change.
func TestAuditRemembers(t *testing.T) {
	t.Parallel()
	l := newLedger("l", "s", true)
	a := newAudit(l)
	stored := []client.Message{{Offset: 0, Value: l.payload(l.next())}, {Offset: 1, Value: l.payload(l.next())}}
	if err := a.hold(stored[:1]); err != nil {
		t.Fatal(err)
	}
	if err := a.seen(stored); err != nil {
		t.Fatal(err)
	}
	if err := a.hold(stored[:1]); err == nil {
		t.Error("a message that a reader was shown is gone, and nothing is said")
	}
	if err := a.seen([]client.Message{{Offset: 1, Value: l.payload(0)}}); err == nil {
		t.Error("a reader was shown two messages at one offset, and nothing is said")
	}
	if err := l.ack(0, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.ack(0, 1); err == nil {
		t.Error("a message was acknowledged at two offsets, and nothing is said")
	}
}
