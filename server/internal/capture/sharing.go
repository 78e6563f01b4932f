package capture

import (
	"bytes"

	"github.com/trestlehq/trestle/metadata/keyhash"
	"github.com/trestlehq/trestle/proto/batch"
)

// Sharing says by what the messages of a stream are shared out to its partitions: the first field that is set; none: by the
// key.
type Sharing struct {
	Subject bool   // the whole subject
	Token   int    // this token of the subject, from 1; 0: none
	Header  string // the first value of this header; "": none
}

// partitionOf is the partition of n that the record is for: by what the stream shares out, and where the record has none of
// it by its key, else by its message id, so that it meets its repetition, else by its subject.
func (b *Sharing) partitionOf(r *batch.Record, n int32) int32 {
	if n <= 1 {
		return 0
	}
	return int32(keyhash.Partition(keyhash.Murmur3(b.key(r)), int(n)))
}

func (b *Sharing) key(r *batch.Record) []byte {
	switch {
	case b.Subject:
		return r.Subject
	case b.Token > 0:
		if token, ok := tokenOf(r.Subject, b.Token); ok {
			return token
		}
	case b.Header != "":
		for i := range r.Headers {
			if string(r.Headers[i].Name) == b.Header {
				return r.Headers[i].Value
			}
		}
	}
	if r.Key != nil {
		return r.Key
	}
	if id := r.MessageID(); id != nil {
		return id
	}
	return r.Subject
}

// tokenOf is a token of a subject, from 1.
func tokenOf(subject []byte, number int) ([]byte, bool) {
	for rest, more := subject, true; more; number-- {
		var token []byte
		token, rest, more = bytes.Cut(rest, []byte("."))
		if number == 1 {
			return token, true
		}
	}
	return nil, false
}
