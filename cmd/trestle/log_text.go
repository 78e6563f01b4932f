package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

func unixTime(ns int64) string { return formatTime(time.Unix(0, ns)) }

func segmentText(s *commitlog.SegmentSummary) string {
	state := "active"
	if s.Sealed {
		state = "sealed"
	}
	text := fmt.Sprintf("  %s  %s, offsets %d to %d, seq %d to %d, %s records in %d batches, %s",
		strings.TrimSuffix(s.File[strings.LastIndex(s.File, "/")+1:], ".seg"), state, s.Base.Offset, s.End.Offset, s.Base.Seq, s.End.Seq,
		count(s.Records), s.Batches, formatSize(s.SizeBytes))
	if s.Batches > 0 {
		text += ", from " + unixTime(s.FirstTime) + " to " + unixTime(s.LastTime)
	}
	if s.Generation > 0 {
		text += fmt.Sprintf(", compacted %d times", s.Generation)
	}
	return text + "\n"
}

func faultsText(s *commitlog.SegmentSummary) string {
	var b strings.Builder
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "  damaged: %v\n", f)
	}
	if s.Torn != nil {
		fmt.Fprintf(&b, "  torn end, removed at the next start: %v\n", s.Torn)
	}
	return b.String()
}

// controlWords name the kinds of control batch.
var controlWords = map[batch.ControlKind]string{
	batch.ControlEpoch: "epoch", batch.ControlGap: "gap", batch.ControlUnclean: "unclean", batch.ControlUnknown: "of a later version",
}

func batchText(position int64, h *batch.Header, b []byte) string {
	text := fmt.Sprintf("    byte %d  seq %d  epoch %d  %s  %s", position, h.Seq, h.LeaderEpoch, unixTime(h.Time), formatSize(int64(h.Size)))
	if h.Control() {
		c, err := batch.ParseControl(h.BodyOf(b))
		if err != nil {
			return text + "  control, damaged: " + err.Error() + "\n"
		}
		return text + "  control " + controlWords[c.Kind] + "\n"
	}
	text += fmt.Sprintf("  offsets %d to %d, %d records", h.BaseOffset, h.NextOffset(), h.RecordCount)
	if h.Attributes&batch.Captured != 0 {
		text += ", captured"
	}
	if h.Codec() == batch.Zstd {
		text += ", zstd"
	}
	return text + "\n"
}

// appendSegmentJSON renders what was found in a segment as one line.
func appendSegmentJSON(dst []byte, s *commitlog.SegmentSummary, owner *logOwner) []byte {
	o := jsonObject{dst: append(dst, `{"segment":{`...)}
	o.text("file", s.File)
	o.truth("sealed", s.Sealed)
	o.number("generation", int64(s.Generation))
	o.number("base_seq", int64(s.Base.Seq))
	o.number("base_offset", s.Base.Offset)
	o.number("end_seq", int64(s.End.Seq))
	o.number("next_offset", s.End.Offset)
	o.number("batches", int64(s.Batches))
	o.number("control_batches", int64(s.Control))
	o.number("records", s.Records)
	o.number("bytes", s.SizeBytes)
	o.number("unused_bytes", s.UnusedBytes)
	o.number("index_entries", int64(s.IndexEntries))
	o.text("first_time", unixTime(s.FirstTime))
	o.text("last_time", unixTime(s.LastTime))
	o.number("last_epoch", int64(s.LastEpoch))
	o.optionalText("torn", tornText(s))
	faults := make([]string, len(s.Faults))
	for i, f := range s.Faults {
		faults[i] = f.Error()
	}
	o.texts("faults", faults)
	if owner != nil {
		o.text("stream", owner.Stream)
		o.number("partition", owner.Partition)
	}
	return append(o.dst, '}', '}', '\n')
}

func tornText(s *commitlog.SegmentSummary) string {
	if s.Torn == nil {
		return ""
	}
	return s.Torn.Error()
}

// appendBatchJSON renders the header of a batch as one line.
func appendBatchJSON(dst []byte, position int64, h *batch.Header) []byte {
	o := jsonObject{dst: append(dst, `{"batch":{`...)}
	o.number("position", position)
	o.number("seq", int64(h.Seq))
	o.number("base_offset", h.BaseOffset)
	o.number("next_offset", h.NextOffset())
	o.number("records", int64(h.RecordCount))
	o.number("bytes", int64(h.Size))
	o.number("leader_epoch", int64(h.LeaderEpoch))
	o.text("time", unixTime(h.Time))
	o.truth("control", h.Control())
	o.truth("captured", h.Attributes&batch.Captured != 0)
	o.truth("packed", h.Codec() != 0)
	return append(o.dst, '}', '}', '\n')
}
