package partition

import (
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// Meter is told what partitions do, all of a broker's alike. It is called often and from many goroutines, and must not block.
type Meter interface {
	// Appended tells of one write: of so many batches with records, the records in them, and all bytes.
	Appended(batches, records, bytes int)
	// Acked tells how long a published batch waited until it was as safe as it asked for.
	Acked(waited time.Duration)
	// Refused tells of a published batch that was refused, or of which nobody knows the fate.
	Refused()
	// Read tells how many bytes a reader was given.
	Read(bytes int)
	// Gap tells of a gap that was written.
	Gap(gap *batch.Gap)
}

// unmetered is for partitions that nobody measures.
type unmetered struct{}

func (unmetered) Appended(int, int, int) {}
func (unmetered) Acked(time.Duration)    {}
func (unmetered) Refused()               {}
func (unmetered) Read(int)               {}
func (unmetered) Gap(*batch.Gap)         {}

// measured is a write as the meter is told of it.
func (p *Partition) measured(w *work, pl *plan, size int) {
	if size == 0 {
		return
	}
	p.meter.Appended(len(pl.batches)-len(pl.gapSeqs), int(pl.next.Offset-pl.first.Offset), size)
	for i := range pl.gapSeqs {
		p.meter.Gap(&w.gaps[i].Gap)
	}
}
