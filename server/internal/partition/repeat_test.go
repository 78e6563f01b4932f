package partition_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func publish(t *testing.T, r *rig, b partition.Batch) partition.Ack {
	t.Helper()
	ack, err := r.Publish(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func valuesIn(all []found) (values []string) {
	for _, f := range all {
		if f.Gap == nil {
			values = append(values, f.Value)
		}
	}
	return values
}

// A record with a duplicate id is left out and the ack names it (protocol.md 1.6); the others are as they were, byte for
// byte. Captured messages and published ones are each other's duplicates.
func TestDuplicateIsLeftOut(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t, withDedup)
	defer r.close(t)
	ack := publish(t, r, messages(message("a", "1"), message("", "2"), message("b", "3"), message("a", "4")))
	if diff := cmp.Diff([]partition.Duplicate{{Index: 3, Offset: 0}}, ack.Duplicates); diff != "" || ack.BaseOffset != 0 || ack.Count != 3 {
		t.Errorf("ack %+v %s", ack, diff)
	}
	ack, err := r.captured(t, message("b", "5"), nil)
	if diff := cmp.Diff([]partition.Duplicate{{Index: 0, Offset: 2}}, ack.Duplicates); err != nil || diff != "" || ack.Count != 0 || ack.BaseOffset != 2 {
		t.Errorf("ack of a duplicate %+v, %v %s", ack, err, diff)
	}
	if ack, err := r.captured(t, message("c", "6"), nil); err != nil || ack.BaseOffset != 3 || ack.Count != 1 || !ack.Durable {
		t.Errorf("ack %+v, %v", ack, err)
	}
	ack = publish(t, r, messages(message("c", "7"), message("d", "8"), message("b", "9")))
	if diff := cmp.Diff([]partition.Duplicate{{Index: 0, Offset: 3}, {Index: 2, Offset: 2}}, ack.Duplicates); diff != "" || ack.BaseOffset != 4 || ack.Count != 1 {
		t.Errorf("ack %+v %s", ack, diff)
	}
	if ack = publish(t, r, messages(message("d", "10"))); ack.BaseOffset != 4 || ack.Count != 0 || ack.Time != 0 {
		t.Errorf("ack of a batch of duplicates %+v", ack)
	}
	if diff := cmp.Diff([]string{"1", "2", "3", "6", "8"}, valuesIn(r.all(t))); diff != "" {
		t.Error(diff)
	}
}

// Several captured records that gather in one batch are judged one by one.
func TestDuplicatesInACapturedBatch(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t, withDedup)
	hold, held := make(chan struct{}), make(chan struct{}, 64)
	remove := r.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWriteAt {
			held <- struct{}{}
			<-hold
		}
		return nil
	})
	defer remove()
	answers := make(chan string, 16)
	send := func(id, value string, expected *int64) {
		t.Helper()
		err := r.CaptureWith(message(id, value), partition.Captured{Expected: expected, OnAck: func(ack partition.Ack, err error) {
			switch {
			case err != nil:
				answers <- value + " refused"
			case ack.Count == 0:
				answers <- value + " again"
			default:
				answers <- value + " stored"
			}
		}})
		if err != nil {
			t.Error(err)
		}
	}
	send("x", "0", nil)
	<-held // the rest gathers meanwhile
	wrong, right := int64(7), int64(2)
	send("x", "1", nil)
	send("y", "2", nil)
	send("z", "3", &wrong)
	send("y", "4", &wrong) // a duplicate is one whatever it expects (protocol.md 2.5)
	send("z", "5", &right)
	close(hold)
	got := map[string]bool{}
	for range 6 {
		got[<-answers] = true
	}
	want := map[string]bool{"0 stored": true, "1 again": true, "2 stored": true, "3 refused": true, "4 again": true, "5 stored": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"0", "2", "5"}, valuesIn(r.all(t))); diff != "" {
		t.Error(diff)
	}
	r.close(t)
}

// A duplicate of a record that is not committed yet is acked when that is (protocol.md 2.7).
func TestDuplicateWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t, withDedup)
	hold, held := make(chan struct{}), make(chan struct{}, 64)
	remove := r.disk.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData {
			held <- struct{}{}
			<-hold
		}
		return nil
	})
	defer remove()
	first := messages(message("a", "1"))
	first.WhenWritten = true
	publish(t, r, first)
	<-held
	ended, second := make(chan struct{}), make(chan error, 1)
	if err := r.CaptureWith(message("a", "2"), partition.Captured{OnAck: func(ack partition.Ack, err error) {
		if ack.BaseOffset != 0 || len(ack.Duplicates) != 1 {
			t.Errorf("ack %+v", ack)
		}
		select {
		case <-ended:
		default:
			t.Error("acked before the first was committed")
		}
		second <- err
	}}); err != nil {
		t.Fatal(err)
	}
	if ack := publishWritten(t, r, "4"); ack.BaseOffset != 1 { // so the duplicate before it was judged
		t.Errorf("ack %+v", ack)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if ack, err := r.Publish(soon, messages(message("a", "3"))); !errors.Is(err, partition.ErrOutcomeUnknown) {
		t.Errorf("acked before the first was committed: %+v, %v", ack, err)
	}
	close(ended)
	close(hold)
	if err := <-second; err != nil {
		t.Error(err)
	}
	if ack := publish(t, r, messages(message("a", "5"))); ack.BaseOffset != 0 {
		t.Errorf("ack %+v", ack)
	}
	r.close(t)
}

// publishWritten publishes a batch and waits for no more than its write.
func publishWritten(t *testing.T, r *rig, value string) partition.Ack {
	t.Helper()
	b := records(value)
	b.WhenWritten = true
	return publish(t, r, b)
}

// What a producer numbers is stored once and in order: the last five are answered as they were, a gap and an earlier epoch
// are refused, and what cannot be said is said to be unknown (protocol.md 1.6, S10).
func TestProducer(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, withDedup)
	numbered := func(epoch, seq uint32) (partition.Ack, error) {
		b := records("x")
		b.ProducerID, b.ProducerEpoch, b.ProducerSeq = 9, epoch, seq
		return r.Publish(t.Context(), b)
	}
	for seq := range uint32(7) {
		if ack, err := numbered(1, seq); err != nil || ack.BaseOffset != int64(seq) {
			t.Fatalf("batch %d: %+v, %v", seq, ack, err)
		}
	}
	for _, restart := range []bool{false, true} {
		if restart {
			r.close(t)
			r = s.lead(t, withDedup)
		}
		if ack, err := numbered(1, 3); err != nil || ack.BaseOffset != 3 || ack.Count != 1 {
			t.Errorf("batch 3 again: %+v, %v", ack, err)
		}
		if _, err := numbered(1, 1); !errors.Is(err, partition.ErrOutcomeUnknown) {
			t.Errorf("batch 1 again: %v", err)
		}
		var refused *partition.ProducerError
		if _, err := numbered(1, 9); !errors.As(err, &refused) || !errors.Is(err, partition.ErrSequenceGap) || refused.Expected != 7 || errors.Is(err, partition.ErrOutcomeUnknown) {
			t.Errorf("batch 9: %v", err)
		}
		if _, err := numbered(0, 7); !errors.Is(err, partition.ErrFenced) {
			t.Errorf("an earlier epoch: %v", err)
		}
	}
	if got := len(r.all(t)); got != 7 {
		t.Errorf("%d records are stored", got)
	}
	r.close(t)
}

// The expected offset is about the batch's first record, and judged after the ids (protocol.md 2.5).
func TestExpectedOffset(t *testing.T) {
	t.Parallel()
	r := newSetup(1).lead(t, withDedup)
	defer r.close(t)
	expecting := func(offset int64, all ...*batch.Record) (partition.Ack, error) {
		b := messages(all...)
		b.Expected = &offset
		return r.Publish(t.Context(), b)
	}
	if _, err := expecting(0, message("a", "1"), message("b", "2")); err != nil {
		t.Error(err)
	}
	var wrong *partition.WrongOffsetError
	if _, err := expecting(0, message("c", "3")); !errors.As(err, &wrong) || wrong.Next != 2 || wrong.Expected != 0 {
		t.Errorf("got %v", err)
	}
	if ack, err := expecting(0, message("a", "4")); err != nil || ack.BaseOffset != 0 {
		t.Errorf("a repeated id: %+v, %v", ack, err)
	}
	if ack, err := expecting(0, message("a", "1"), message("b", "2"), message("c", "3")); err != nil || ack.BaseOffset != 2 || ack.Count != 1 {
		t.Errorf("the rest of a batch: %+v, %v", ack, err)
	}
	next := int64(3)
	if _, err := r.captured(t, message("d", "5"), &next); err != nil {
		t.Error(err)
	}
	if _, err := r.captured(t, message("e", "6"), &next); !errors.As(err, &wrong) || wrong.Next != 4 {
		t.Errorf("captured: %v", err)
	}
}

// On a full disk what was stored before is answered, and what was not is refused (S10).
func TestRepeatedOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := newSetup(1)
	r := s.lead(t, withDedup)
	publish(t, r, messages(message("a", "1")))
	s.disk.SetCapacity(1)
	large := strings.Repeat("x", 10<<10)
	if err := r.Capture(message("b", large)); err != nil { // waits for room, and keeps the disk full
		t.Fatal(err)
	}
	for range 3 {
		if ack := publish(t, r, messages(message("a", "2"))); ack.BaseOffset != 0 || ack.Count != 0 {
			t.Errorf("ack %+v", ack)
		}
		if _, err := r.Publish(t.Context(), messages(message("c", large))); !errors.Is(err, commitlog.ErrFull) {
			t.Errorf("a new message: %v", err)
		}
		if _, err := r.Publish(t.Context(), messages(message("b", "3"))); !errors.Is(err, commitlog.ErrFull) {
			t.Errorf("one that repeats what waits for room: %v", err)
		}
	}
	s.disk.SetCapacity(0)
	r.close(t)
	r = s.lead(t, withDedup)
	if diff := cmp.Diff([]string{"1", large}, valuesIn(r.all(t))); diff != "" {
		t.Error(diff)
	}
	r.close(t)
}
