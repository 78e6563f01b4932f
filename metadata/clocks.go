package metadata

import (
	"maps"
	"slices"
	"time"
)

const (
	// ClockWarnNanos from the median is worth a warning, and ClockLimitNanos ahead of it ends leaderships: append times
	// never go back, so one clock far ahead would set them for all that follow (protocol.md 1.12).
	ClockWarnNanos  = int64(500 * time.Millisecond)
	ClockLimitNanos = int64(60 * time.Second)
	// clockQuorum is how many clocks it takes to call one of them wrong.
	clockQuorum = 3
)

// Clocks compares the clocks that brokers report with their heartbeats. Not safe for concurrent use.
type Clocks struct {
	ahead map[string]int64 // of the receiver, nanoseconds
}

// NewClocks returns a comparison without reports.
func NewClocks() *Clocks { return &Clocks{ahead: map[string]int64{}} }

// Report notes the clock of a broker, Unix time in nanoseconds, as it came when the own clock showed now.
func (c *Clocks) Report(broker string, clock, now int64) { c.ahead[broker] = clock - now }

// Forget drops a broker that is fenced or gone.
func (c *Clocks) Forget(broker string) { delete(c.ahead, broker) }

// Skew is how far a clock is from the median of all.
type Skew struct {
	Broker string
	// AheadNanos is negative for a clock that is behind.
	AheadNanos int64
	// TooFar ahead to lead: the broker gives up its leaderships and takes none.
	TooFar bool
}

// Skews returns the clocks that are worth a warning, in the order of brokers' names.
func (c *Clocks) Skews() []Skew {
	sorted := slices.Sorted(maps.Values(c.ahead))
	if len(sorted) == 0 {
		return nil
	}
	median := sorted[(len(sorted)-1)/2]
	var skews []Skew
	for _, broker := range slices.Sorted(maps.Keys(c.ahead)) {
		ahead := c.ahead[broker] - median
		if ahead > ClockWarnNanos || ahead < -ClockWarnNanos {
			skews = append(skews, Skew{Broker: broker, AheadNanos: ahead, TooFar: ahead > ClockLimitNanos && len(sorted) >= clockQuorum})
		}
	}
	return skews
}
