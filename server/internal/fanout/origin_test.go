package fanout_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/server/internal/fanout"
)

// A marker verifies for the message that it was made for, in the cluster that made it, and for no other (2.1).
func TestMarkers(t *testing.T) {
	t.Parallel()
	secrets := []fanout.Secret{fanout.SecretOf([32]byte{1}), fanout.SecretOf([32]byte{2})}
	for _, known := range []*fanout.Known{nil, {}} {
		marker, reader, other := fanout.NewMarker(&secrets[0], known), fanout.NewMarker(&secrets[0], known), fanout.NewMarker(&secrets[1], &fanout.Known{})
		testMarkers(t, marker, reader, other)
		testMarkers(t, marker, marker, other)
	}
}

func testMarkers(t *testing.T, maker, marker, other *fanout.Marker) {
	t.Helper()
	for _, group := range []string{"", "-", "g", "a b"} {
		o := fanout.Origin{Stream: uuid.New(), Group: group, Partition: 3, Offset: 42}
		mark := maker.Append(nil, &o, []byte("s"), []byte("k"), []byte("v"))
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
			forged := bytes.Clone(mark)
			forged[i] ^= 1
			if _, ok := marker.Verify(forged, []byte("s"), []byte("k"), []byte("v")); ok {
				t.Errorf("%q verifies", forged)
			}
			if _, ok := marker.Verify(mark[:i], []byte("s"), []byte("k"), []byte("v")); ok {
				t.Errorf("%q verifies", mark[:i])
			}
		}
	}
	if _, ok := marker.Verify(bytes.Repeat([]byte(" "), 100), nil, nil, nil); ok {
		t.Error("spaces verify")
	}
}

// What a marker costs is no allocation, whether it is made, known again or computed.
func TestMarkersCostLittle(t *testing.T) {
	secret := fanout.SecretOf([32]byte{1})
	maker, stranger := fanout.NewMarker(&secret, &fanout.Known{}), fanout.NewMarker(&secret, nil)
	o := fanout.Origin{Stream: uuid.New(), Partition: 3}
	subject, key, value := []byte("orders.created"), []byte("k"), make([]byte, 128)
	mark := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() {
		o.Offset++
		mark = maker.Append(mark[:0], &o, subject, key, value)
	}); n > 0 {
		t.Errorf("making one allocates %v times", n)
	}
	for _, marker := range []*fanout.Marker{maker, stranger} {
		if n := testing.AllocsPerRun(100, func() {
			if _, ok := marker.Verify(mark, subject, key, value); !ok {
				t.Fatal("it does not verify")
			}
		}); n > 0 {
			t.Errorf("verifying one allocates %v times", n)
		}
	}
}

func BenchmarkMarkers(b *testing.B) {
	secret := fanout.SecretOf([32]byte{1})
	maker, stranger := fanout.NewMarker(&secret, &fanout.Known{}), fanout.NewMarker(&secret, nil)
	o := fanout.Origin{Stream: uuid.New(), Partition: 3}
	subject, value := []byte("orders.created"), make([]byte, 128)
	mark := maker.Append(nil, &o, subject, nil, value)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			mark = maker.Append(mark[:0], &o, subject, nil, value)
		}
	})
	for name, marker := range map[string]*fanout.Marker{"known": maker, "computed": stranger} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				marker.Verify(mark, subject, nil, value)
			}
		})
	}
}
