package dedup_test

import (
	"encoding/hex"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// The vectors are those of the reference implementation of SipHash-2-4 with 128 bits: key 00 01 … 0f, message 00 01 ….
func TestIDIsSipHash128(t *testing.T) {
	t.Parallel()
	var key dedup.Key
	message := make([]byte, 64)
	for i := range message {
		message[i] = byte(i)
	}
	copy(key[:], message)
	for length, want := range map[int]string{
		1: "da87c1d86b99af44347659119b22fc45", 2: "8177228da4a45dc7fca38bdef60affe4",
		7: "a1f1ebbed8dbc153c0b84aa61ff08239", 8: "3b62a9ba6258f5610f83e264f31497b4",
		9: "264499060ad9baabc47f8b02bb6d71ed", 63: "5150d1772f50834a503e069a973fbd7c",
	} {
		id := key.ID(message[:length])
		if got := hex.EncodeToString(id[:]); got != want {
			t.Errorf("the id of %d bytes is %s, want %s", length, got, want)
		}
	}
}

func TestNoMessageIDIsNoID(t *testing.T) {
	t.Parallel()
	if id := (dedup.Key{1}).ID(nil); id != (dedup.ID{}) {
		t.Errorf("the id of nothing is %x, want none", id)
	}
	if one, other := (dedup.Key{1}).ID([]byte("a")), (dedup.Key{2}).ID([]byte("a")); one == other {
		t.Error("two keys give the same id")
	}
}
