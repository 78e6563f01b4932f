package compat

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// vectors are frames of old publishers, with and without a CRC, and what is none though it begins like one.
type vectors struct {
	Messages []struct {
		Name, Frame, Key, Value string
		Headers                 [][2]string
		Inbox                   string
	}
	Malformed []struct{ Name, Frame string }
}

func readVectors(t *testing.T) *vectors {
	t.Helper()
	text, err := os.ReadFile("../envelope/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vectors)
	if err := json.Unmarshal(text, v); err != nil || len(v.Messages) == 0 || len(v.Malformed) == 0 {
		t.Fatalf("the vectors: %v", err)
	}
	return v
}

func bytesOf(t *testing.T, digits string) string {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Envelopes of plain publishers, with a CRC and without, are taken apart.
func TestEnvelopes(t *testing.T) {
	b, v := start(t), readVectors(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	nc := b.plain()
	for _, m := range v.Messages {
		if err := nc.Publish("s", []byte(bytesOf(t, m.Frame))); err != nil {
			t.Fatal(err)
		}
	}
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	for _, m := range v.Messages {
		got := r.next()
		if got.err != nil {
			t.Fatalf("%s: %v", m.Name, got.err)
		}
		if key, value := bytesOf(t, m.Key), bytesOf(t, m.Value); string(got.msg.Key()) != key || string(got.msg.Value()) != value {
			t.Errorf("%s: key %q, value %q; want %q, %q", m.Name, got.msg.Key(), got.msg.Value(), key, value)
		}
		for _, h := range m.Headers {
			if name, value := bytesOf(t, h[0]), bytesOf(t, h[1]); string(got.msg.Headers()[name]) != value {
				t.Errorf("%s: header %q is %q, want %q", m.Name, name, got.msg.Headers()[name], value)
			}
		}
	}
}

// What is no envelope is a message as it is, and harms nobody.
func TestMalformedEnvelopes(t *testing.T) {
	b, v := start(t), readVectors(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	nc := b.plain()
	for _, m := range v.Malformed {
		if err := nc.Publish("s", []byte(bytesOf(t, m.Frame))); err != nil {
			t.Fatal(err)
		}
	}
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	for _, m := range v.Malformed {
		if got := r.next(); got.err != nil || string(got.msg.Value()) != bytesOf(t, m.Frame) || len(got.msg.Key()) > 0 {
			t.Fatalf("%s: %+v, %v", m.Name, got.msg, got.err)
		}
	}
}
