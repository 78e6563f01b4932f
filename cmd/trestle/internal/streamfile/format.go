// Package streamfile writes and reads a stream as one file: what `trestle stream export` makes and `stream import`
// takes. A file is one protobuf message, so that generated code of any language reads it:
//
//	message StreamFile {
//	  string format = 1;              // "trestle stream 1": a file begins with the bytes 0a 10 and this text
//	  string stream = 2;              // configuration and state when the export began, one line of JSON
//	  repeated Chunk chunks = 3;      // about 1 MiB each; those of a partition in its order
//	  string end = 4;                 // what the file holds, one line of JSON; without it the file is not whole
//	  fixed32 checksum = 15;          // follows each of the above: CRC-32C of all bytes of the file before it
//	}
//	message Chunk {
//	  repeated trestle.v1.Batch batches = 1;
//	  int32 partition = 15;
//	}
//
// Batches are those of proto/trestle/v1/log.proto, with the offsets, times and leader epochs that the messages had; a
// gap is a control batch. They are made anew of what a client reads, so their numbers, producers and tags are zero.
// Nothing is used before the checksum behind it has been compared: what is read is what was written, up to there.
package streamfile

import (
	"errors"

	"github.com/trestlehq/trestle/client"
)

// format names the layout. Another one has another number.
const format = "trestle stream 1"

// formatName is what all formats have in common.
const formatName = "trestle stream "

// Tags of the fields of StreamFile.
const (
	tagFormat   = 1<<3 | 2
	tagStream   = 2<<3 | 2
	tagChunk    = 3<<3 | 2
	tagEnd      = 4<<3 | 2
	tagChecksum = 15<<3 | 5
)

// Tags of the fields of Chunk.
const (
	tagBatch     = 1<<3 | 2
	tagPartition = 15 << 3
)

const (
	// chunkSize in bytes is where a chunk ends, batchSize where a batch does; a larger message is alone in its own.
	chunkSize = 1 << 20
	batchSize = 128 << 10
	// maxField in bytes is more than any field of a file has: a message has 64 MiB at most.
	maxField = 80 << 20
)

// Errors of reading. What is returned wraps one of them and says more.
var (
	// ErrFormat means that the bytes are no file of a stream, or one of a later version.
	ErrFormat = errors.New("not the file of a stream")
	// ErrDamaged means that the bytes are not what was written.
	ErrDamaged = errors.New("the file is damaged")
	// ErrCutShort means that the file ends before what was written does.
	ErrCutShort = errors.New("the file is cut short")
)

// Chunk is what a Reader hands out at once: messages of one partition in order, and the gaps among them.
type Chunk struct {
	Partition int
	// Messages alias the chunk, which is never used again. Their stream is empty.
	Messages []client.Message
	// Gaps name the offset of the message that follows them.
	Gaps []client.Gap
}
