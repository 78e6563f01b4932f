package host

import (
	"errors"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Missed says that messages may have been published since then, up to now, while nothing captured them: before the captures
// of this start. A gap in each partition that captures says so.
func (h *Host) Missed(since time.Time) error {
	now := h.config.Now()
	var errs []error
	for _, runs := range h.allRunning() {
		err := runs.partition.AppendGap(batch.Gap{Cause: batch.GapRestart, FromTime: since.UnixNano(), ToTime: now.UnixNano()})
		if !errors.Is(err, partition.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
