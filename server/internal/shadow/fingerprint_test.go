package shadow

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

var secret = [32]byte{1, 2, 3}

func headers(pairs ...string) []batch.HeaderField {
	var h []batch.HeaderField
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, batch.HeaderField{Name: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return h
}

// The order of names is the NATS client's, of values of a name the publisher's (2.4).
func TestFingerprintOfHeaders(t *testing.T) {
	t.Parallel()
	of := func(pairs ...string) Fingerprint {
		return FingerprintOf(&secret, &batch.Record{Subject: []byte("s"), Headers: headers(pairs...)})
	}
	sorted := of("a", "1", "b", "2", "b", "3")
	if of("b", "2", "a", "1", "b", "3") != sorted {
		t.Error("the order of names matters")
	}
	if of("b", "3", "a", "1", "b", "2") == sorted {
		t.Error("the order of one name's values does not matter")
	}
	unsorted := headers("b", "2", "a", "1")
	FingerprintOf(&secret, &batch.Record{Headers: unsorted})
	if string(unsorted[0].Name) != "b" {
		t.Error("the caller's headers are put in order")
	}
}

// Records that differ in anything that two hearers agree on have other fingerprints; the schema id is the leader's.
func TestFingerprintTellsRecordsApart(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("x"), inlineMax+1)
	records := []batch.Record{
		{},
		{Value: []byte{}},
		{Value: []byte("ab")},
		{Value: []byte{}, Tombstone: true},
		{Key: []byte{}},
		{Key: []byte("ab")},
		{Subject: []byte("ab")},
		{Reply: []byte("ab")},
		{Subject: []byte("a"), Reply: []byte("b")},
		{Subject: []byte("a"), Reply: []byte("b"), Headers: headers("c", "d")},
		{Subject: []byte("a"), Reply: []byte("b"), Headers: headers("cd", "")},
		{Headers: headers("c", "d", "e", "f")},
		{Headers: headers("c", "d")},
		{Value: long},
		{Value: long[1:]},
		{Key: long},
		{Value: append(bytes.Clone(long), 'y')},
	}
	seen := map[Fingerprint]int{}
	for i := range records {
		f := FingerprintOf(&secret, &records[i])
		if other, twice := seen[f]; twice {
			t.Errorf("records %d and %d have one fingerprint", i, other)
		}
		seen[f] = i
		with := records[i]
		with.SchemaID = 7
		if FingerprintOf(&secret, &with) != f {
			t.Errorf("the schema id changes the fingerprint of record %d", i)
		}
		if FingerprintOf(&[32]byte{9}, &records[i]) == f {
			t.Errorf("the secret does not change the fingerprint of record %d", i)
		}
		if throughBatch(t, &records[i]) != f {
			t.Errorf("record %d has another fingerprint once it was in a batch", i)
		}
	}
	if (IDFingerprint(&secret, nil) != Fingerprint{}) || (IDFingerprint(&secret, []byte("a")) == Fingerprint{}) {
		t.Error("no id has a fingerprint, or an id has none")
	}
}

// throughBatch is the fingerprint that a follower computes.
func throughBatch(t *testing.T, r *batch.Record) Fingerprint {
	t.Helper()
	var b batch.Builder
	b.Reset(r.Subject)
	b.Append(r)
	encoded := b.Finish(batch.Captured)
	(&batch.Stamp{}).Put(encoded)
	h, err := batch.Parse(encoded)
	if err != nil {
		t.Fatal(err)
	}
	records, err := h.RecordsOf(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var got batch.Record
	if _, ok, err := records.Next(&got); !ok || err != nil {
		t.Fatalf("no record in its batch: %v", err)
	}
	return FingerprintOf(&secret, &got)
}

func TestFingerprintDoesNotAllocate(t *testing.T) {
	record := batch.Record{
		Subject: []byte("orders.eu.created"), Reply: []byte("_INBOX.abc"), Value: bytes.Repeat([]byte("v"), 4096),
		Headers: headers("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Content-Type", "application/json"),
	}
	var sink Fingerprint
	if n := testing.AllocsPerRun(100, func() { sink = FingerprintOf(&secret, &record) }); n != 0 {
		t.Errorf("%v allocations for a record of usual size", n)
	}
	if sink == (Fingerprint{}) {
		t.Error("the fingerprint is zero")
	}
}

// What Bytes says is what the ring takes: overhead is neither forgotten nor a multiple of what it is.
func TestOverhead(t *testing.T) {
	const messages = 20000
	var before, after runtime.MemStats
	r := NewRing(Options{WindowNanos: window, MaxBytes: 1 << 30})
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range messages {
		var f Fingerprint
		f[0], f[1], f[2] = byte(i), byte(i>>8), 1
		r.Hear(Message{Fingerprint: f, ID: f, Record: make([]byte, 128), Ack: make([]byte, 32)}, start)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	taken := int64(after.HeapAlloc - before.HeapAlloc)
	t.Logf("%d bytes a message, Bytes says %d", taken/messages, r.Bytes()/messages)
	if taken > r.Bytes()*11/10 || taken < r.Bytes()*6/10 {
		t.Errorf("%d messages take %d bytes, Bytes says %d", messages, taken, r.Bytes())
	}
	runtime.KeepAlive(r)
}
