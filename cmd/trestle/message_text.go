package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trestlehq/trestle/client"
)

// messageText renders messages for a human, one a line: partition@offset time subject [reply=…] [key=…] headers… value.
type messageText struct {
	time timeText
}

func (r *messageText) append(dst []byte, m *client.Message) []byte {
	dst = strconv.AppendInt(dst, int64(m.Partition), 10)
	dst = strconv.AppendInt(append(dst, '@'), m.Offset, 10)
	dst = r.time.append(append(dst, ' '), m.Time)
	dst = append(dst, ' ')
	if m.Subject == "" {
		dst = append(dst, '-')
	} else {
		dst = appendWord(dst, m.Subject)
	}
	if m.Reply != "" {
		dst = appendWord(append(dst, " reply="...), m.Reply)
	}
	if m.Key != nil {
		dst = appendWord(append(dst, " key="...), string(m.Key))
	}
	for _, h := range m.Headers {
		dst = appendWord(append(dst, ' '), h.Name)
		dst = appendWord(append(dst, '='), string(h.Value))
	}
	dst = append(dst, ' ')
	switch {
	case m.Tombstone:
		dst = append(dst, "(tombstone)"...)
	case m.Value == nil:
		dst = append(dst, "(no value)"...)
	case len(m.Value) > 0 && printable(m.Value):
		dst = append(dst, m.Value...)
	default:
		dst = strconv.AppendQuote(dst, string(m.Value))
	}
	return append(dst, '\n')
}

// appendWord appends text so that it is one word on the line: quoted unless it is printable and has no space.
func appendWord(dst []byte, text string) []byte {
	if text == "" || strings.ContainsAny(text, " \"=") || !printable([]byte(text)) {
		return strconv.AppendQuote(dst, text)
	}
	return append(dst, text...)
}

// printable reports whether text is UTF-8 that moves no cursor and breaks no line.
func printable(text []byte) bool {
	for len(text) > 0 {
		if c := text[0]; c < utf8.RuneSelf {
			if c < ' ' || c > '~' {
				return false
			}
			text = text[1:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return false
		}
		text = text[size:]
	}
	return true
}
