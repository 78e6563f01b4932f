package capture

import (
	"encoding/json"
	"fmt"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// pubAck is JetStream's answer to a publish.
type pubAck struct {
	Error     *apiError `json:"error,omitempty"`
	Stream    string    `json:"stream"`
	Sequence  int64     `json:"seq"` // offset + 1
	Duplicate bool      `json:"duplicate,omitempty"`
}

// apiError is an error of JetStream's; the numbers are those of nats-server/server/errors.json.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func pubAckOf(stream string, ack *partition.Ack) ([]byte, error) {
	offset, duplicate := offsetOf(ack)
	return json.Marshal(&pubAck{Stream: stream, Sequence: offset + 1, Duplicate: duplicate})
}

// pubAckRefusal is the error form of the answer. A wrong last sequence is told in JetStream's own words, which its clients
// look for.
func pubAckRefusal(stream string, r *refusal) ([]byte, error) {
	e := &apiError{Description: r.text}
	switch r.reason {
	case reasonWrongOffset:
		e.Code, e.ErrCode, e.Description = 400, 10071, fmt.Sprintf("wrong last sequence: %d", r.next)
	case reasonWrongStream:
		e.Code, e.ErrCode, e.Description = 400, 10060, "expected stream does not match"
	case reasonTooLarge:
		e.Code, e.ErrCode, e.Description = 400, 10054, "message size exceeds maximum allowed"
	case reasonInvalid, reasonNotBuilt:
		e.Code, e.ErrCode = 400, 10003 // bad request
	case reasonDiskFull, reasonTooMuch:
		e.Code, e.ErrCode = 503, 10023 // insufficient resources
	case reasonFailed, reasonPaused, reasonReadOnly:
		e.Code, e.ErrCode = 503, 10077 // not stored
	}
	return json.Marshal(&pubAck{Stream: stream, Error: e})
}

// offsetOf is where the one record of an ack stands.
func offsetOf(ack *partition.Ack) (offset int64, duplicate bool) {
	if len(ack.Duplicates) > 0 {
		return ack.Duplicates[0].Offset, true
	}
	return ack.BaseOffset, false
}
