package streamfile

import (
	"encoding/binary"
	"io"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
)

// Writer writes a file. It is for one goroutine, and after an error nothing more is written.
type Writer struct {
	to    io.Writer
	crc   uint32
	bytes int64
	err   error

	partition int    // of the chunk that is being gathered
	chunk     []byte // its batches
	builder   batch.Builder
	first     client.Message // of the batch that is being built
	next      int64          // offset that would continue it
}

// NewWriter begins a file. stream describes the stream, as one line of JSON.
func NewWriter(to io.Writer, stream []byte) (*Writer, error) {
	w := &Writer{to: to}
	w.field(tagFormat, []byte(format))
	w.field(tagStream, stream)
	w.builder.Reset(nil)
	return w, w.err
}

// Bytes says how many have been written.
func (w *Writer) Bytes() int64 { return w.bytes }

// Messages appends messages, each behind those of its partition that came before.
func (w *Writer) Messages(messages []client.Message) error {
	for i := range messages {
		m := &messages[i]
		w.turnTo(m.Partition)
		if w.builder.Count() > 0 && !w.continues(m) {
			w.finishBatch()
			if len(w.chunk) >= chunkSize {
				w.finishChunk()
			}
		}
		if w.builder.Count() == 0 {
			w.first = client.Message{Offset: m.Offset, Time: m.Time, LeaderEpoch: m.LeaderEpoch}
		}
		w.builder.Append(recordOf(m))
		w.next = m.Offset + 1
	}
	return w.err
}

// Gap appends a gap.
func (w *Writer) Gap(partition int, gap client.Gap) error {
	w.turnTo(partition)
	w.finishBatch()
	control := batch.AppendControl(nil, &batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{
		Cause: causeNumber(gap.Cause), FromTime: gap.From.UnixNano(), ToTime: gap.To.UnixNano(), AtLeast: gap.AtLeast, Counted: gap.AtLeast > 0,
	}})
	(&batch.Stamp{BaseOffset: gap.Offset, Time: gap.To.UnixNano()}).Put(control)
	w.chunk = append(w.chunk, control...)
	return w.err
}

// Close ends the file with what it holds, as one line of JSON. It does not close what is written to.
func (w *Writer) Close(end []byte) error {
	w.finishChunk()
	w.field(tagEnd, end)
	return w.err
}

// continues is true if m belongs to the batch that is being built.
func (w *Writer) continues(m *client.Message) bool {
	return m.Offset == w.next && m.Time.Equal(w.first.Time) && m.LeaderEpoch == w.first.LeaderEpoch &&
		w.builder.Size()+len(m.Value) < batchSize
}

func (w *Writer) turnTo(partition int) {
	if partition != w.partition {
		w.finishChunk()
		w.partition = partition
	}
}

func (w *Writer) finishBatch() {
	if w.builder.Count() == 0 {
		return
	}
	built := w.builder.Finish(0)
	(&batch.Stamp{BaseOffset: w.first.Offset, LeaderEpoch: w.first.LeaderEpoch, Time: w.first.Time.UnixNano()}).Put(built)
	w.chunk = append(w.chunk, built...)
	w.builder.Reset(nil)
}

func (w *Writer) finishChunk() {
	w.finishBatch()
	if len(w.chunk) == 0 {
		return
	}
	w.chunk = binary.AppendUvarint(append(w.chunk, tagPartition), uint64(w.partition))
	w.field(tagChunk, w.chunk)
	w.chunk = w.chunk[:0]
}

// field writes a field, and the checksum of all that was written.
func (w *Writer) field(tag byte, content []byte) {
	w.write(binary.AppendUvarint([]byte{tag}, uint64(len(content))))
	w.write(content)
	w.write(binary.LittleEndian.AppendUint32([]byte{tagChecksum}, w.crc))
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.to.Write(b)
	w.crc, w.bytes, w.err = batch.UpdateChecksum(w.crc, b), w.bytes+int64(n), err
}

func recordOf(m *client.Message) *batch.Record {
	r := &batch.Record{Key: m.Key, Value: m.Value, Subject: []byte(m.Subject), Reply: []byte(m.Reply), Tombstone: m.Tombstone}
	for i := range m.Headers {
		r.Headers = append(r.Headers, batch.HeaderField{Name: []byte(m.Headers[i].Name), Value: m.Headers[i].Value})
	}
	return r
}
