package main

import (
	"strconv"
	"time"

	"github.com/trestlehq/trestle/client"
)

// timeText keeps the text of the time that was printed last: the messages of a batch share theirs.
type timeText struct {
	time time.Time
	text []byte
}

func (t *timeText) append(dst []byte, at time.Time) []byte {
	if t.text == nil || !t.time.Equal(at) {
		t.time, t.text = at, at.UTC().AppendFormat(t.text[:0], timeLayout)
	}
	return append(dst, t.text...)
}

// messageJSON renders messages one object a line. Key, value and header values are base64, or with utf8 text; what is
// absent is null. Bytes that no JSON string can hold are never altered: a subject or reply that is not UTF-8 stands
// in base64 under "subject_base64" or "reply_base64" (with utf8 also "key_base64" and "value_base64"), and headers
// whose name (with utf8: or one of whose values) is not UTF-8 stand under "headers_base64", names and values both in
// base64.
type messageJSON struct {
	utf8 bool
	time timeText
}

func (r *messageJSON) append(dst []byte, m *client.Message) []byte {
	dst = appendJSONString(append(dst, `{"stream":`...), m.Stream)
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(m.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), m.Offset, 10)
	dst = r.time.append(append(dst, `,"timestamp":"`...), m.Time)
	dst = appendJSONText(append(dst, `",`...), "subject", m.Subject, m.Subject != "")
	dst = appendJSONText(append(dst, ','), "reply", m.Reply, m.Reply != "")
	dst = r.appendContent(append(dst, ','), "key", m.Key)
	dst = r.appendContent(append(dst, ','), "value", m.Value)
	dst = r.appendHeaders(append(dst, ','), m.Headers)
	return append(dst, '}', '\n')
}

func (r *messageJSON) appendContent(dst []byte, name string, content []byte) []byte {
	if r.utf8 {
		return appendJSONText(dst, name, content, content != nil)
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	if content == nil {
		return append(dst, "null"...)
	}
	return appendJSONBase64(dst, content)
}

func (r *messageJSON) appendHeaders(dst []byte, headers []client.HeaderField) []byte {
	dst = append(dst, `"headers":{`...)
	dst, left := r.appendHeaderGroup(dst, headers, false)
	dst = append(dst, '}')
	if left > 0 {
		dst = append(dst, `,"headers_base64":{`...)
		dst, _ = r.appendHeaderGroup(dst, headers, true)
		dst = append(dst, '}')
	}
	return dst
}

// appendHeaderGroup appends the headers that belong into "headers_base64", or the others, each name once with all
// its values, in the order in which the names first occur. It also counts the names of the other group.
func (r *messageJSON) appendHeaderGroup(dst []byte, headers []client.HeaderField, inBase64 bool) ([]byte, int) {
	others, first := 0, true
	for i, h := range headers {
		if indexHeader(headers, h.Name) < i {
			continue
		}
		if r.headerNeedsBase64(headers[i:], h.Name) != inBase64 {
			others++
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if inBase64 {
			dst = appendJSONBase64(dst, h.Name)
		} else {
			dst = appendJSONString(dst, h.Name)
		}
		dst = append(dst, ':')
		opening := byte('[')
		for _, same := range headers[i:] {
			if same.Name != h.Name {
				continue
			}
			dst = append(dst, opening)
			opening = ','
			if r.utf8 && !inBase64 {
				dst = appendJSONString(dst, same.Value)
			} else {
				dst = appendJSONBase64(dst, same.Value)
			}
		}
		dst = append(dst, ']')
	}
	return dst, others
}

func (r *messageJSON) headerNeedsBase64(headers []client.HeaderField, name string) bool {
	if !validUTF8(name) {
		return true
	}
	for _, h := range headers {
		if r.utf8 && h.Name == name && !validUTF8(h.Value) {
			return true
		}
	}
	return false
}

func indexHeader(headers []client.HeaderField, name string) int {
	for i, h := range headers {
		if h.Name == name {
			return i
		}
	}
	return -1
}
