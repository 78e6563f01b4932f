package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// TestFullDiskNamesItsRemedyOnce: whether the disk guard found it, whose error has the remedy, or a write that failed.
func TestFullDiskNamesItsRemedyOnce(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"the disk guard": &partition.DiskGuardError{TotalBytes: 252 << 30, FreeBytes: 12 << 30},
		"a write":        errors.New("no space left on device"),
	} {
		if line := fullText(err) + " " + err.Error(); strings.Count(line, partition.MakeRoom) != 1 {
			t.Errorf("%s: got %q, want the remedy once", name, line)
		}
	}
}
