//go:build mutants

package commitlog

import (
	"bytes"
	"encoding/binary"
	"os"

	"github.com/trestlehq/trestle/proto/batch"
)

var chosen = os.Getenv("TRESTLE_MUTANT")

// mutant says whether the environment asks for that fault, so that a test may show that it is found.
func mutant(name string) bool { return chosen == name }

// batchBehind says whether a sound batch stands somewhere behind the place where the tail ends.
func batchBehind(t *tail, size int64) bool {
	for at := t.mark.FilePosition + 1; at < size; at++ {
		sc := newScanner(t.file, t.segment.name, at, size)
		sc.chunk = indexInterval
		if e, err := sc.next(); err == nil && e.footer == nil {
			return true
		}
	}
	return false
}

// correctHeader returns a batch with a header CRC that is right, whatever the header says.
func correctHeader(b []byte) []byte {
	const at = 11 // of the CRC
	if len(b) < batch.HeaderSize || int(b[magicAt+2]) < batch.HeaderSize || int(b[magicAt+2]) > len(b) {
		return b
	}
	b = bytes.Clone(b)
	crc := batch.UpdateChecksum(batch.Checksum(b[:at-1]), b[at+4:b[magicAt+2]])
	binary.LittleEndian.PutUint32(b[at:], crc)
	return b
}
