package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/trestlehq/trestle/client"
)

// Reasons of errors that no server gave; the last is one that servers give, too.
const (
	reasonMisuse  = "MISUSE"
	reasonTimeout = "TIMEOUT"
	reasonFailed  = "FAILED"
	reasonNoDedup = "NO_DEDUP_WINDOW"
	reasonInvalid = "INVALID_ARGUMENT"
)

// printFailure prints err: as text a line that says what failed and one with the remedy, or as one JSON object. An
// error that cannot be printed is told by the exit code alone.
func printFailure(w io.Writer, err error, asJSON bool) {
	message, remedy := err.Error(), ""
	reason, names := reasonFailed, map[string]string(nil)
	if m, ok := errors.AsType[*misuse](err); ok {
		reason, remedy, names = reasonMisuse, m.remedy, m.names
	} else if answer, ok := errors.AsType[*client.Error](err); ok {
		reason, names = answer.Reason, answer.Names
		message = strings.Replace(message, "; create it, or list those that there are", "; create it with trestle stream create, or see trestle stream ls", 1)
	} else if errors.Is(err, context.DeadlineExceeded) {
		reason = reasonTimeout
	}
	if remedy == "" && !strings.Contains(message, "; ") {
		remedy = remedyOf(err)
	}
	if asJSON {
		if remedy != "" {
			message += "; " + strings.ReplaceAll(remedy, "\n", "; ")
		}
		_, _ = w.Write(appendFailureJSON(nil, reason, message, names))
		return
	}
	if remedy == "" {
		// Errors of servers and of the client have their remedies behind semicolons.
		message, remedy, _ = strings.Cut(message, "; ")
		remedy = strings.ReplaceAll(remedy, "; ", "\n")
	}
	text := "error: " + message + "\n"
	for line := range strings.Lines(remedy) {
		text += "  " + strings.TrimSuffix(line, "\n") + "\n"
	}
	_, _ = io.WriteString(w, text)
}

// remedyOf says what to do about an answer that does not say so itself: it knows offsets, and not the command.
func remedyOf(err error) string {
	switch {
	case errors.Is(err, client.ErrOffsetGone):
		return "retention, compaction or a purge took it; trestle stream info shows where each partition starts"
	case errors.Is(err, client.ErrOffsetBeyondEnd):
		return "trestle stream info shows where each partition ends"
	case errors.Is(err, client.ErrWrongOffset):
		return "another message was stored first: read it, then expect the next offset"
	default:
		return ""
	}
}

func appendFailureJSON(dst []byte, reason, message string, names map[string]string) []byte {
	dst = appendJSONString(append(dst, `{"error":{"reason":`...), reason)
	dst = appendJSONString(append(dst, `,"message":`...), message)
	dst = append(dst, `,"names":{`...)
	for i, name := range slices.Sorted(maps.Keys(names)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, name)
		dst = appendJSONString(append(dst, ':'), names[name])
	}
	return append(dst, "}}}\n"...)
}
