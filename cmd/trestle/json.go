package main

import (
	"encoding/base64"
	"unicode/utf8"
)

// appendJSONString appends text as a JSON string. Unlike encoding/json it leaves <, > and & as they are, which
// subjects such as orders.> are full of; but it escapes all that some reader takes for the end of a line. Bytes that
// are not UTF-8 become U+FFFD: callers that must not lose them ask first and use appendJSONBase64.
func appendJSONString[T ~string | ~[]byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			if r == '\u0085' || r == '\u2028' || r == '\u2029' {
				dst = append(dst, text[start:i]...)
				dst = append(dst, '\\', 'u', hex[r>>12], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
				i += size
				start = i
				continue
			}
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, text[start:i]...)
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\ufffd"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

// appendJSONBase64 appends data in standard base64 as a JSON string.
func appendJSONBase64[T ~string | ~[]byte](dst []byte, data T) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, []byte(data))
	return append(dst, '"')
}

// appendJSONText appends a member of an object: its name and text, or its name followed by "_base64" and text in
// base64 where that is not UTF-8, or null where there is none.
func appendJSONText[T ~string | ~[]byte](dst []byte, name string, text T, present bool) []byte {
	dst = append(append(dst, '"'), name...)
	switch {
	case !present:
		return append(dst, `":null`...)
	case validUTF8(text):
		return appendJSONString(append(dst, `":`...), text)
	default:
		return appendJSONBase64(append(dst, `_base64":`...), text)
	}
}

func validUTF8[T ~string | ~[]byte](text T) bool {
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return utf8.ValidString(string(text))
		}
	}
	return true
}
