package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/host"
)

// MaxStreams is how many streams have series of their own: the first in the order of names. The others are summed up under
// the stream "", so that a broker with thousands of streams does not flood whoever stores its metrics.
const MaxStreams = 500

// Sources are asked at each scrape.
type Sources struct {
	Host interface {
		Measure() host.Measures
		FanoutCounts() fanout.Counts
	}
	Capture interface{ Counters() capture.Counters }
	// Leading says whether this broker leads the metadata, Applied how far the metadata is applied here.
	Leading func() bool
	Applied func() uint64
	// Unready is why the broker is not ready; nil: it is.
	Unready func() error
	// FileCache is how many files that are not in use are kept open at most.
	FileCache int
}

// Watch adds what is asked at each scrape. It is called once.
func (m *Metrics) Watch(s Sources) error { return m.registry.Register(&scrape{sources: s}) }

// scrape is a collector whose series are known only when it is asked.
type scrape struct{ sources Sources }

// series is one description, and where its value is in what was measured.
type series[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

func gauge[T any](name, help string, value func(*T) float64, labels ...string) series[T] {
	return series[T]{prometheus.NewDesc("trestle_"+name, help, labels, nil), prometheus.GaugeValue, value}
}

func counter[T any](name, help string, value func(*T) float64, labels ...string) series[T] {
	return series[T]{prometheus.NewDesc("trestle_"+name, help, labels, nil), prometheus.CounterValue, value}
}

// streamSeries have the label stream. Gauge or counter: a stream that is deleted takes its series with it.
func streamSeries() []series[host.StreamMeasures] {
	type m = host.StreamMeasures
	return []series[m]{
		gauge("stream_partitions", "Partitions of the stream that this broker has.", func(s *m) float64 { return float64(s.Partitions) }, labelStream),
		gauge("stream_faults", "Partitions of the stream with something wrong; trestle stream info says what.", func(s *m) float64 { return float64(s.Faults) }, labelStream),
		gauge("stream_messages", "Messages of the stream that can be read.", func(s *m) float64 { return float64(s.Messages) }, labelStream),
		counter("stream_messages_total", "Messages that the stream ever stored.", func(s *m) float64 { return float64(s.EverStored) }, labelStream),
		gauge("stream_bytes", "Bytes of the stream on disk.", func(s *m) float64 { return float64(s.Bytes) }, labelStream),
		gauge("stream_queued_bytes", "Bytes that wait to be appended.", func(s *m) float64 { return float64(s.QueuedBytes) }, labelStream),
		gauge("stream_dedup_window_seconds", "Shortest dedup window that a partition keeps in truth.", func(s *m) float64 { return s.DedupWindow.Seconds() }, labelStream),
		gauge("stream_dedup_window_wanted_seconds", "Dedup window that the stream asks for.", func(s *m) float64 { return s.DedupWanted.Seconds() }, labelStream),
	}
}

func hostSeries() []series[host.Measures] {
	type m = host.Measures
	return []series[m]{
		gauge("streams", "Streams with partitions on this broker.", func(h *m) float64 { return float64(len(h.Streams)) }),
		gauge("dedup_bytes", "Memory of all dedup windows.", func(h *m) float64 { return float64(h.DedupBytes) }),
		gauge("dedup_limit_bytes", "Memory that all dedup windows may have; beyond it they shrink.", func(h *m) float64 { return float64(h.DedupLimit) }),
		gauge("open_files", "Files of logs that are open.", func(h *m) float64 { return float64(h.OpenFiles) }),
		gauge("disk_bytes", "Size of the disk that the data folder is on.", func(h *m) float64 { return float64(h.DiskBytes) }),
		gauge("disk_free_bytes", "Free space of that disk. Below 5 % nothing is taken in.", func(h *m) float64 { return float64(h.DiskFreeBytes) }),
		gauge("broker_epoch", "Epoch of this broker's registration; 0: it has no role.", func(h *m) float64 { return float64(h.Epoch) }),
		gauge("ticked_timestamp_seconds", "When partitions were last looked after, about once a second.", func(h *m) float64 { return float64(h.Ticked.UnixNano()) / 1e9 }),
	}
}

func captureSeries() []series[capture.Counters] {
	type m = capture.Counters
	return []series[m]{
		counter("captured_messages_total", "NATS messages handed to partitions.", func(c *m) float64 { return float64(c.Captured) }),
		counter("captured_envelopes_total", "Of these, in an envelope.", func(c *m) float64 { return float64(c.Envelopes) }),
		counter("captured_refused_total", "NATS messages that were not stored, by a rule or because a partition took nothing.", func(c *m) float64 { return float64(c.Refused) }),
		counter("captured_too_large_total", "Of these, larger than the stream takes.", func(c *m) float64 { return float64(c.TooLarge) }),
		counter("nats_acks_total", "Positive answers handed to NATS.", func(c *m) float64 { return float64(c.Acked) }),
		counter("nats_nacks_total", "Negative answers handed to NATS.", func(c *m) float64 { return float64(c.Nacked) }),
		counter("nats_acks_dropped_total", "Answers that were not sent: too many, or NATS was away.", func(c *m) float64 { return float64(c.AcksDropped) }),
		counter("nats_fanout_heard_total", "Fanned out messages that came back to their stream, and were dropped.", func(c *m) float64 { return float64(c.FanoutHeard) }),
		counter("nats_forged_markers_total", "Markers of a fan-out that did not verify.", func(c *m) float64 { return float64(c.ForgedMarkers) }),
		counter("nats_bad_headers_total", "NATS messages whose headers could not be read.", func(c *m) float64 { return float64(c.BadHeaders) }),
		counter("nats_unrouted_total", "NATS messages for a partition that is not captured here.", func(c *m) float64 { return float64(c.Unrouted) }),
		counter("nats_audience_unknown_total", "Times that it was not known who listens on the embedded NATS, so that fan-out published what may have reached nobody.", func(c *m) float64 { return float64(c.AudienceUnknown) }),
		counter("nats_disconnects_total", "Times that the connection to NATS was lost.", func(c *m) float64 { return float64(c.Disconnects) }),
		gauge("nats_pending_bytes", "Bytes that were received from NATS and not captured yet.", func(c *m) float64 { return float64(c.PendingBytes) }),
		gauge("nats_pending_acks", "Answers that were not sent to NATS yet.", func(c *m) float64 { return float64(c.PendingAnswers) }),
	}
}

func fanoutSeries() []series[fanout.Counts] {
	type m = fanout.Counts
	return []series[m]{
		counter("fanout_messages_total", "Messages that were fanned out to NATS.", func(c *m) float64 { return float64(c.Published) }),
		counter("fanout_unheard_total", "Messages that were not fanned out to NATS because nobody but their stream listened on their subject.", func(c *m) float64 { return float64(c.Unheard) }),
		counter("fanout_dropped_total", "Messages that were to be fanned out and were not: NATS was away or too slow, the fan-out ended, or they are damaged.", func(c *m) float64 { return float64(c.Dropped) }),
		counter("fanout_without_subject_total", "Messages that no subject was there for.", func(c *m) float64 { return float64(c.WithoutSubject) }),
		counter("fanout_dropped_headers_total", "Headers of fanned out messages that NATS cannot carry.", func(c *m) float64 { return float64(c.DroppedHeaders) }),
	}
}

func brokerSeries() []series[Sources] {
	return []series[Sources]{
		gauge("ready", "1 while the broker captures and serves, as /readyz says.", func(s *Sources) float64 { return flag(s.Unready() == nil) }),
		gauge("metadata_leading", "1 while this broker leads the metadata.", func(s *Sources) float64 { return flag(s.Leading()) }),
		gauge("metadata_applied_index", "Index up to which the metadata is applied here.", func(s *Sources) float64 { return float64(s.Applied()) }),
		gauge("file_cache_limit", "Files not in use that are kept open at most.", func(s *Sources) float64 { return float64(s.FileCache) }),
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// Describe describes nothing: which series there are is known when they are collected.
func (s *scrape) Describe(chan<- *prometheus.Desc) {}

// Collect asks the sources.
func (s *scrape) Collect(to chan<- prometheus.Metric) {
	measured, counted := s.sources.Host.Measure(), s.sources.Capture.Counters()
	send(to, hostSeries(), &measured)
	send(to, captureSeries(), &counted)
	fanned := s.sources.Host.FanoutCounts()
	send(to, fanoutSeries(), &fanned)
	send(to, brokerSeries(), &s.sources)
	descriptions := streamSeries()
	for _, stream := range bounded(measured.Streams) {
		send(to, descriptions, &stream, stream.Stream)
	}
}

func send[T any](to chan<- prometheus.Metric, all []series[T], measured *T, labels ...string) {
	for _, one := range all {
		to <- prometheus.MustNewConstMetric(one.desc, one.kind, one.value(measured), labels...)
	}
}

// bounded sums up the streams that get no series of their own.
func bounded(streams []host.StreamMeasures) []host.StreamMeasures {
	if len(streams) <= MaxStreams {
		return streams
	}
	var rest host.StreamMeasures
	for i := range streams[MaxStreams:] {
		s := &streams[MaxStreams+i]
		if i == 0 {
			rest.DedupWindow, rest.DedupWanted = s.DedupWindow, s.DedupWanted
		}
		rest.Partitions += s.Partitions
		rest.Faults += s.Faults
		rest.Messages += s.Messages
		rest.EverStored += s.EverStored
		rest.Bytes += s.Bytes
		rest.QueuedBytes += s.QueuedBytes
		rest.DedupWindow, rest.DedupWanted = min(rest.DedupWindow, s.DedupWindow), min(rest.DedupWanted, s.DedupWanted)
	}
	return append(streams[:MaxStreams:MaxStreams], rest)
}
