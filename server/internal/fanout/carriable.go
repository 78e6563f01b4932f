package fanout

import (
	"bytes"
	"strings"

	"github.com/trestlehq/trestle/proto/batch"
)

// DroppedHeadersName is the header that says how many headers of the record a fanned out message lacks, because NATS cannot
// carry them as they are.
const DroppedHeadersName = "Trestle-Dropped-Headers"

// carriable says whether NATS delivers a header as it is: its name is a token (RFC 9110, 5.6.2), which all NATS clients read,
// and not one that is set here, and its value is one line without blanks at its ends, which clients trim.
func carriable(h *batch.HeaderField) bool {
	if mutant("fanout-any-header") {
		return true
	}
	switch string(h.Name) {
	case "", OriginName, KeyName, TombstoneName, DroppedHeadersName:
		return false
	}
	for _, c := range h.Name {
		if !isTokenByte(c) {
			return false
		}
	}
	return !bytes.ContainsAny(h.Value, "\r\n") && len(bytes.Trim(h.Value, " \t")) == len(h.Value)
}

func isTokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	default:
		return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
	}
}
