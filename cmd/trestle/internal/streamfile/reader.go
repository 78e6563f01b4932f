package streamfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
)

// Reader reads a file. It is for one goroutine.
type Reader struct {
	from   *bufio.Reader
	crc    uint32
	at     int64 // bytes read
	stream []byte
	end    []byte
}

// NewReader reads the beginning of a file.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: bufio.NewReader(from)}
	if begin, err := r.from.Peek(2 + len(formatName)); err != nil || begin[0] != tagFormat || string(begin[2:]) != formatName {
		return nil, fmt.Errorf("%w: it begins in another way; export one with trestle stream export", ErrFormat)
	}
	_, version, err := r.field()
	switch {
	case err != nil:
		return nil, err
	case string(version) != format:
		return nil, fmt.Errorf("%w that is known here: it is of format %q, this program reads %q; use the version that wrote it",
			ErrFormat, strings.TrimPrefix(string(version), formatName), strings.TrimPrefix(format, formatName))
	}
	tag, stream, err := r.field()
	if err == nil && tag != tagStream {
		err = r.damaged("the description of the stream is missing")
	}
	if err != nil {
		return nil, err
	}
	r.stream = stream
	return r, nil
}

// Stream describes the stream when the export began, as one line of JSON.
func (r *Reader) Stream() []byte { return r.stream }

// End says what the file holds, as one line of JSON. It is nil until Next has returned io.EOF.
func (r *Reader) End() []byte { return r.end }

// Next is the next chunk, and io.EOF after the last one of a file that is whole.
func (r *Reader) Next() (Chunk, error) {
	if r.end != nil {
		return Chunk{}, io.EOF
	}
	tag, content, err := r.field()
	switch {
	case err != nil:
		return Chunk{}, err
	case tag == tagChunk:
		return r.chunk(content)
	case tag != tagEnd:
		return Chunk{}, r.damaged("field %d has no place here", tag>>3)
	}
	if _, err := r.from.ReadByte(); err != io.EOF {
		return Chunk{}, r.damaged("something follows the end")
	}
	r.end = content
	return Chunk{}, io.EOF
}

func (r *Reader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrDamaged, r.at, fmt.Sprintf(format, args...))
}

// field reads a field, and the checksum that stands behind it.
func (r *Reader) field() (tag byte, content []byte, err error) {
	tag, err = r.ReadByte()
	if err != nil {
		return 0, nil, r.cut(err)
	}
	size, err := binary.ReadUvarint(r)
	switch {
	case err != nil:
		return 0, nil, r.cut(err)
	case size > maxField:
		return 0, nil, r.damaged("a field of %d bytes", size)
	}
	var gathered bytes.Buffer // grows as it is filled: a damaged length costs no memory
	if _, err := io.CopyN(&gathered, r.from, int64(size)); err != nil {
		return 0, nil, r.cut(err)
	}
	content = gathered.Bytes()
	r.crc, r.at = batch.UpdateChecksum(r.crc, content), r.at+int64(size)
	sum := make([]byte, 5)
	if _, err := io.ReadFull(r.from, sum); err != nil {
		return 0, nil, r.cut(err)
	}
	if sum[0] != tagChecksum || binary.LittleEndian.Uint32(sum[1:]) != r.crc {
		return 0, nil, r.damaged("the checksum is another")
	}
	r.crc, r.at = batch.UpdateChecksum(r.crc, sum), r.at+int64(len(sum))
	return tag, content, nil
}

// ReadByte reads one byte of a tag or of a length.
func (r *Reader) ReadByte() (byte, error) {
	b, err := r.from.ReadByte()
	if err == nil {
		r.crc, r.at = batch.UpdateChecksum(r.crc, []byte{b}), r.at+1
	}
	return b, err
}

// cut says why a read failed: at the end of the input that is a file that is not whole.
func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends at about byte %d, without its end", ErrCutShort, r.at)
	}
	return fmt.Errorf("read at byte %d: %w", r.at, err)
}

// chunk takes a chunk apart whose checksum was right.
func (r *Reader) chunk(content []byte) (Chunk, error) {
	var c Chunk
	for len(content) > 0 && content[0] == tagBatch {
		h, err := batch.Parse(content)
		if err != nil {
			return c, r.damaged("%v", err)
		}
		if err := c.take(&h, content[:h.Size:h.Size]); err != nil {
			return c, r.damaged("%v", err)
		}
		content = content[h.Size:]
	}
	if len(content) == 0 || content[0] != tagPartition {
		return c, r.damaged("a chunk without its partition")
	}
	partition, n := binary.Uvarint(content[1:])
	if n <= 0 || 1+n != len(content) || partition > 1<<31-1 {
		return c, r.damaged("a chunk with an unreadable partition")
	}
	c.Partition = int(partition)
	for i := range c.Messages {
		c.Messages[i].Partition = c.Partition
	}
	return c, nil
}

// take takes a batch apart.
func (c *Chunk) take(h *batch.Header, b []byte) error {
	if h.Control() {
		control, err := batch.ParseControl(h.BodyOf(b))
		if err != nil || control.Kind != batch.ControlGap {
			return err
		}
		c.Gaps = append(c.Gaps, client.Gap{
			Offset: h.BaseOffset, Cause: causeName(control.Gap.Cause),
			From: time.Unix(0, control.Gap.FromTime), To: time.Unix(0, control.Gap.ToTime), AtLeast: control.Gap.AtLeast,
		})
		return nil
	}
	records, err := h.RecordsOf(b)
	if err != nil {
		return err
	}
	for {
		var record batch.Record
		delta, ok, err := records.Next(&record)
		if err != nil || !ok {
			return err
		}
		m := messageOf(&record)
		m.Offset, m.Time, m.LeaderEpoch = h.BaseOffset+int64(delta), time.Unix(0, h.Time), h.LeaderEpoch
		c.Messages = append(c.Messages, m)
	}
}

func messageOf(r *batch.Record) client.Message {
	m := client.Message{Subject: string(r.Subject), Reply: string(r.Reply), Key: r.Key, Value: r.Value, Tombstone: r.Tombstone}
	for i := range r.Headers {
		m.Headers = append(m.Headers, client.HeaderField{Name: string(r.Headers[i].Name), Value: r.Headers[i].Value})
	}
	return m
}
