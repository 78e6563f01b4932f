package loadtest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	longestLatency = time.Minute // what takes longer counts as this
	latencyDigits  = 3           // significant decimal digits that a histogram keeps
)

// Histogram counts latencies, exact to three digits, at a cost that does not depend on how many there are. It is for one
// goroutine at a time.
type Histogram struct{ counts *hdrhistogram.Histogram }

// NewHistogram is an empty one.
func NewHistogram() *Histogram {
	return &Histogram{counts: hdrhistogram.New(1, int64(longestLatency), latencyDigits)}
}

// Record counts a latency. One below a nanosecond, which two clocks can make of it, counts as a nanosecond.
func (h *Histogram) Record(d time.Duration) {
	// Within the bounds there is no error.
	_ = h.counts.RecordValue(int64(min(max(d, 1), longestLatency)))
}

// Add counts what the other has counted, too.
func (h *Histogram) Add(other *Histogram) { h.counts.Merge(other.counts) }

// Latency sums it up.
func (h *Histogram) Latency() Latency {
	at := func(percent float64) time.Duration { return time.Duration(h.counts.ValueAtQuantile(percent)) }
	return Latency{Count: h.counts.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.counts.Max())}
}

// MarshalJSON writes it as HdrHistogram's log does, a compressed string.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	text, err := h.counts.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("encode a histogram: %w", err)
	}
	return json.Marshal(string(text))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var text string
	err := json.Unmarshal(data, &text)
	if err == nil {
		h.counts, err = hdrhistogram.Decode([]byte(text))
	}
	if err != nil {
		return fmt.Errorf("decode a histogram: %w", err)
	}
	return nil
}

// Latency is a histogram in a few figures. The zero value means: not measured.
type Latency struct {
	Count                    int64
	P50, P90, P99, P999, Max time.Duration
}
