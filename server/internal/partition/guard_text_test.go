package partition_test

import (
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// TestDiskGuardIsLegible: sizes as people write them, and what makes room.
func TestDiskGuardIsLegible(t *testing.T) {
	t.Parallel()
	for want, space := range map[string]vfs.Space{
		"12.6 GiB of 252 GiB": {FreeBytes: 13513748480, TotalBytes: 270553174016},
		"0 B of 999 B":        {TotalBytes: 999},
		"1.0 KiB of 64.0 KiB": {FreeBytes: 1 << 10, TotalBytes: 64 << 10},
		"1.0 MiB of 8.0 EiB":  {FreeBytes: 1 << 20, TotalBytes: 1<<63 - 1},
		"1.0 TiB of 90.0 TiB": {FreeBytes: 1000 << 30, TotalBytes: 90 << 40},
	} {
		want += " of the disk are free, less than 5 %; " + partition.MakeRoom
		if err := partition.Guard(space); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
