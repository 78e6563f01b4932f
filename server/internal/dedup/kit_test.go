package dedup_test

import (
	"encoding/binary"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// second is a unit of append time.
const second = int64(1_000_000_000)

var testKey = dedup.Key{7}

// number makes the id of a numbered message.
func number(n uint64) dedup.ID {
	var message [8]byte
	binary.BigEndian.PutUint64(message[:], n)
	return testKey.ID(message[:])
}

// wantFound fails the test unless the id is found under an offset.
func wantFound(t *testing.T, w *dedup.Window, id dedup.ID, now, want int64) {
	t.Helper()
	if offset, found := w.Lookup(id, now); !found || offset != want {
		t.Errorf("at %d the id is found %t under %d, want under %d", now, found, offset, want)
	}
}

func wantUnknown(t *testing.T, w *dedup.Window, id dedup.ID, now int64) {
	t.Helper()
	if offset, found := w.Lookup(id, now); found {
		t.Errorf("at %d the id is found under %d, want it unknown", now, offset)
	}
}
