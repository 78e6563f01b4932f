// Package metrics counts and measures what a broker does, in the form that Prometheus reads. Names and meanings stand in
// server/DESIGN.md §9; what is told of one stream is bounded by MaxStreams.
package metrics

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Labels.
const (
	labelStream = "stream"
	labelCause  = "cause"
)

// Metrics of one broker. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	ackWait, syncTime, syncDirTime prometheus.Histogram
	batches, records, appended     prometheus.Counter
	writtenBytes, readBytes        prometheus.Counter
	refused                        prometheus.Counter
	gaps, gapMessages              *prometheus.CounterVec
}

// Disks answer in fractions of a millisecond or, when they are in trouble, in seconds.
var waits = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New makes the metrics of a broker, everything at zero.
func New(version, id, cluster string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trestle_" + name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trestle_" + name, Help: help, Buckets: waits})
		m.registry.MustRegister(h)
		return h
	}
	byCause := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trestle_" + name, Help: help}, []string{labelCause})
		m.registry.MustRegister(c)
		return c
	}
	m.ackWait = histogram("ack_seconds", "How long published batches waited until they were as safe as they asked for.")
	m.syncTime = histogram("sync_seconds", "How long fdatasync took.")
	m.syncDirTime = histogram("sync_folder_seconds", "How long the fsync of a folder took.")
	m.batches = counter("batches_appended_total", "Batches with records that were appended.")
	m.records = counter("records_appended_total", "Records that were appended, captured and published.")
	m.appended = counter("appended_bytes_total", "Bytes of batches that were appended.")
	m.writtenBytes = counter("written_bytes_total", "Bytes that were written to files of logs.")
	m.readBytes = counter("read_bytes_total", "Bytes of batches that readers were given.")
	m.refused = counter("publishes_refused_total", "Published batches that were refused, or whose fate nobody knows.")
	m.gaps = byCause("gaps_total", "Gaps that were written, by cause.")
	m.gapMessages = byCause("gap_messages_total", "Messages that gaps say are missing, at least, by cause.")
	for cause := batch.GapRingOverflow; cause <= batch.GapHeardElsewhere; cause++ {
		m.gaps.WithLabelValues(causeName(cause))
		m.gapMessages.WithLabelValues(causeName(cause))
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "trestle_broker_info", Help: "Always 1; the labels say who this is.",
		ConstLabels: prometheus.Labels{"version": version, "id": id, "cluster": cluster},
	})
	info.Set(1)
	m.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with all metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Appended, Acked, Refused, Read and Gap make it a partition.Meter.

// Appended counts one write.
func (m *Metrics) Appended(batches, records, bytes int) {
	m.batches.Add(float64(batches))
	m.records.Add(float64(records))
	m.appended.Add(float64(bytes))
}

// Acked measures how long a publish waited.
func (m *Metrics) Acked(waited time.Duration) { m.ackWait.Observe(waited.Seconds()) }

// Refused counts a publish that was refused.
func (m *Metrics) Refused() { m.refused.Inc() }

// Read counts what a reader was given.
func (m *Metrics) Read(bytes int) { m.readBytes.Add(float64(bytes)) }

// Gap counts a gap that was written.
func (m *Metrics) Gap(gap *batch.Gap) {
	cause := causeName(gap.Cause)
	m.gaps.WithLabelValues(cause).Inc()
	m.gapMessages.WithLabelValues(cause).Add(float64(gap.AtLeast))
}

// causeName is the cause of a gap as users write it, such as ring_overflow.
func causeName(cause batch.GapCause) string {
	return strings.ToLower(strings.TrimPrefix(trestlev1.GapCause(cause).String(), "GAP_CAUSE_"))
}
