package fanout

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/trestlehq/trestle/proto/batch"
)

// firstLine begins a header in NATS; lines of a name, a colon, a blank and a value follow, and an empty one ends it.
const firstLine = "NATS/1.0\r\n"

// appendMessage appends the command that publishes a message, with a header and without a reply subject. The protocol of NATS's
// clients is described at docs.nats.io/reference/reference-protocols/nats-protocol.
func appendMessage(dst []byte, subject string, header, value []byte) []byte {
	dst = append(append(dst, "HPUB "...), subject...)
	dst = strconv.AppendInt(append(dst, ' '), int64(len(header)), 10)
	dst = strconv.AppendInt(append(dst, ' '), int64(len(header)+len(value)), 10)
	dst = append(append(dst, "\r\n"...), header...)
	return append(append(dst, value...), "\r\n"...)
}

// appendLine appends a line of a header.
func appendLine(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// appendHeader appends the header of a record as it goes out: where it comes from, which whoever hears it looks for first; its key;
// its own headers. Those that NATS cannot carry are left out, and their number is told.
func (f *Fanout) appendHeader(dst []byte, r *batch.Record, offset int64) (header []byte, droppedHeaders int) {
	origin := Origin{Stream: f.config.Stream, Group: f.config.Group, Partition: f.config.Number, Offset: offset}
	dst = append(append(dst, firstLine...), OriginName+": "...)
	dst = append(f.marker.Append(dst, &origin, f.subject, r.Key, r.Value), "\r\n"...)
	if r.Key != nil {
		dst = append(dst, KeyName+": "...)
		dst = append(base64.StdEncoding.AppendEncode(dst, r.Key), "\r\n"...)
	}
	if r.Tombstone {
		dst = append(dst, TombstoneName+": 1\r\n"...)
	}
	for i := range r.Headers {
		if h := &r.Headers[i]; carriable(h) {
			dst = appendLine(dst, string(h.Name), h.Value)
		} else {
			droppedHeaders++
		}
	}
	if droppedHeaders > 0 {
		dst = append(dst, DroppedHeadersName+": "...)
		dst = append(strconv.AppendInt(dst, int64(droppedHeaders), 10), "\r\n"...)
	}
	return append(dst, "\r\n"...), droppedHeaders
}

// ClaimOf reads, of a header that begins as those here do, the marker and the key as they are written. ok: it does begin so.
func ClaimOf(header []byte) (marker, key []byte, ok bool) {
	rest, ok := bytes.CutPrefix(header, claimed)
	if !ok {
		return nil, nil, false
	}
	marker, rest, _ = bytes.Cut(rest, lineEnd)
	for more := true; more; {
		var line []byte
		line, rest, more = bytes.Cut(rest, lineEnd)
		if value, ok := bytes.CutPrefix(line, keyed); ok {
			return marker, value, true
		}
	}
	return marker, nil, true
}

var (
	claimed = []byte(firstLine + OriginName + ": ")
	keyed   = []byte(KeyName + ": ")
	lineEnd = []byte("\r\n")
)
