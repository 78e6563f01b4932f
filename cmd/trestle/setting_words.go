package main

import (
	"strconv"
	"strings"
	"time"
)

// flagValue is a value of a field of a stream's configuration, as servers and the client write it, the way its flag takes it.
func flagValue(field, value string) string {
	if word, ok := strings.CutPrefix(value, strings.ToUpper(field)+"_"); ok { // one of an enumeration: STORAGE_MEMORY
		return strings.ToLower(word)
	}
	if value == "" {
		return "none"
	}
	if list, ok := strings.CutPrefix(value, "["); ok {
		return unquoted(strings.TrimSuffix(list, "]"))
	}
	if rule, ok := strings.CutPrefix(value, "header "); ok && field == "partition_by" {
		return "header=" + unquoted(rule)
	}
	if rule, ok := strings.CutPrefix(value, "token "); ok && field == "partition_by" {
		return "token=" + rule
	}
	if d, err := time.ParseDuration(value); err == nil && value != "0" {
		if d <= 0 {
			return "none"
		}
		return formatDuration(d)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return value
	case n <= 0:
		return "none"
	case strings.HasSuffix(field, "_bytes"):
		return formatSize(n)
	default:
		return value
	}
}

// unquoted are quoted texts, with spaces between them, without their quotes.
func unquoted(list string) string {
	var words []string
	for {
		list = strings.TrimSpace(list)
		quoted, err := strconv.QuotedPrefix(list)
		if err != nil {
			return strings.TrimSpace(strings.Join(words, " ") + " " + list)
		}
		list = list[len(quoted):]
		if word, err := strconv.Unquote(quoted); err == nil {
			words = append(words, word)
		}
	}
}
