package envelope_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/envelope"
)

// damaged yields every truncation of a frame and every frame with one bit flipped.
func damaged(frame []byte, yield func(what string, at int, damaged []byte)) {
	for end := range frame {
		yield("cut at byte", end, bytes.Clone(frame[:end:end]))
	}
	for bit := range 8 * len(frame) {
		flipped := bytes.Clone(frame)
		flipped[bit/8] ^= 1 << (bit % 8)
		yield("flipped bit", bit, flipped)
	}
}

// A frame with a CRC that is cut or has one bit wrong is refused, or gives the message that was sent: the flag that says
// that there is a CRC may be lost, and flags without a meaning may be set. One without a CRC is refused or read, and no more.
func TestDamagedMessages(t *testing.T) {
	for _, v := range readVectors(t).Messages {
		refused, read := 0, 0
		damaged(v.Frame, func(what string, at int, frame []byte) {
			m, err := envelope.Parse(frame)
			if err != nil {
				refused++
				if !isKnown(err) {
					t.Errorf("%s, %s %d: error of no kind: %v", v.Name, what, at, err)
				}
				return
			}
			read++
			want := v.message()
			want.Checksum = m.Checksum
			if v.Checksum && !cmp.Equal(want, m, exactly()) {
				t.Errorf("%s, %s %d: another message (-want +got):\n%s", v.Name, what, at, cmp.Diff(want, m, exactly()))
			}
		})
		// Eight flags: the CRC's own, and seven without a meaning.
		if v.Checksum && read != 8 {
			t.Errorf("%s: %d damaged frames read and %d refused; only the 8 flags are not covered", v.Name, read, refused)
		}
	}
}

func TestDamagedAcks(t *testing.T) {
	for _, v := range readVectors(t).Acks {
		refused, read := 0, 0
		damaged(v.Frame, func(what string, at int, frame []byte) {
			a, err := envelope.ParseAck(frame)
			if err != nil {
				refused++
				if !isKnown(err) {
					t.Errorf("%s, %s %d: error of no kind: %v", v.Name, what, at, err)
				}
				return
			}
			read++
			want := v.ack()
			want.Checksum = a.Checksum
			if v.Checksum && !cmp.Equal(want, a, exactly()) {
				t.Errorf("%s, %s %d: another ack (-want +got):\n%s", v.Name, what, at, cmp.Diff(want, a, exactly()))
			}
		})
		if v.Checksum && read != 8 {
			t.Errorf("%s: %d damaged frames read and %d refused; only the 8 flags are not covered", v.Name, read, refused)
		}
	}
}
