package fanout_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/server/internal/fanout"
)

// A marker verifies for the message that it was made for, in the cluster that made it, and for no other (2.1).
func TestMarkers(t *testing.T) {
	t.Parallel()
	secrets := []fanout.Secret{fanout.SecretOf([32]byte{1}), fanout.SecretOf([32]byte{2})}
	marker, other := fanout.NewMarker(&secrets[0]), fanout.NewMarker(&secrets[1])
	for _, group := range []string{"", "-", "g", "a b"} {
		o := fanout.Origin{Stream: uuid.New(), Group: group, Partition: 3, Offset: 42}
		mark := marker.Mark(&o, []byte("s"), []byte("k"), []byte("v"))
		if got, ok := marker.Verify(mark, []byte("s"), []byte("k"), []byte("v")); !ok || got.Stream != o.Stream || got.Group != group {
			t.Fatalf("%q: %+v, %v", mark, got, ok)
		}
		if _, ok := other.Verify(mark, []byte("s"), []byte("k"), []byte("v")); ok {
			t.Error("another cluster believes it")
		}
		for _, m := range [][3]string{{"t", "k", "v"}, {"s", "l", "v"}, {"s", "k", "w"}, {"sk", "", "v"}, {"s", "kv", ""}} {
			if _, ok := marker.Verify(mark, []byte(m[0]), []byte(m[1]), []byte(m[2])); ok {
				t.Errorf("it verifies for %q", m)
			}
		}
		for i := range len(mark) {
			forged := mark[:i] + string(mark[i]^1) + mark[i+1:]
			if _, ok := marker.Verify(forged, []byte("s"), []byte("k"), []byte("v")); ok {
				t.Errorf("%q verifies", forged)
			}
			if _, ok := marker.Verify(mark[:i], []byte("s"), []byte("k"), []byte("v")); ok {
				t.Errorf("%q verifies", mark[:i])
			}
		}
	}
	if _, ok := marker.Verify(strings.Repeat(" ", 100), nil, nil, nil); ok {
		t.Error("spaces verify")
	}
}

// A marker costs no more than its text and what it says.
func TestMarkersCostLittle(t *testing.T) {
	secret := fanout.SecretOf([32]byte{1})
	marker := fanout.NewMarker(&secret)
	o := fanout.Origin{Stream: uuid.New(), Partition: 3}
	subject, key, value := []byte("orders.created"), []byte("k"), make([]byte, 128)
	var mark string
	if n := testing.AllocsPerRun(100, func() {
		o.Offset++
		mark = marker.Mark(&o, subject, key, value)
	}); n > 1 {
		t.Errorf("making one allocates %v times, want once", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := marker.Verify(mark, subject, key, value); !ok {
			t.Fatal("it does not verify")
		}
	}); n > 1 {
		t.Errorf("verifying one allocates %v times, want at most once", n)
	}
}
