package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/trestlehq/trestle/client"
)

// published is a message as its publisher sent it.
type published struct {
	subject string
	reply   string
	key     []byte
	value   []byte
	headers []client.HeaderField
}

func (p published) String() string {
	return fmt.Sprintf("subject %q reply %q key %q headers %q value %s", p.subject, p.reply, p.key, p.headers, excerpt(p.value))
}

// excerpt keeps an error about a long value readable.
func excerpt(value []byte) string {
	const limit = 120
	if len(value) <= limit {
		return strconv.Quote(string(value))
	}
	return fmt.Sprintf("%q… (%d bytes)", value[:limit], len(value))
}

// contentOf is what of a message its publisher decided.
func contentOf(m *client.Message) published {
	return published{subject: m.Subject, reply: m.Reply, key: m.Key, value: m.Value, headers: m.Headers}
}

func (p published) equal(q published) bool {
	sameHeader := func(a, b client.HeaderField) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }
	return p.subject == q.subject && p.reply == q.reply && bytes.Equal(p.key, q.key) &&
		bytes.Equal(p.value, q.value) && slices.EqualFunc(p.headers, q.headers, sameHeader)
}

// checkContent compares messages, which begin at offset first, with what was published, in order.
func checkContent(got []client.Message, want []published, first int64) error {
	for i := range min(len(got), len(want)) {
		if offset := first + int64(i); got[i].Offset != offset {
			return fmt.Errorf("expected offset %d, found %d", offset, got[i].Offset)
		}
		if found := contentOf(&got[i]); !found.equal(want[i]) {
			return fmt.Errorf("at offset %d expected\n  %v\nfound\n  %v", got[i].Offset, want[i], found)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("expected %d messages, found %d", len(want), len(got))
	}
	return nil
}

// checkUnchanged compares what was read before with what is read now: the same records at the same offsets, times
// included.
func checkUnchanged(before, now []client.Message) error {
	if len(now) < len(before) {
		return fmt.Errorf("expected at least the %d messages that were there before, found %d", len(before), len(now))
	}
	for i := range before {
		b, n := &before[i], &now[i]
		if b.Offset != n.Offset || !b.Time.Equal(n.Time) || !contentOf(b).equal(contentOf(n)) {
			return fmt.Errorf("expected unchanged\n  offset %d time %s %v\nfound\n  offset %d time %s %v",
				b.Offset, formatTime(b.Time), contentOf(b), n.Offset, formatTime(n.Time), contentOf(n))
		}
	}
	return nil
}

// checkCrash judges what stands behind the records of before the crash phase: every acked message at the offset of
// its ack, and nothing but acked messages and such as were in flight, each at most once. It returns how many of those
// in flight were stored.
func checkCrash(tail []client.Message, acked map[int64]published, inFlight []published) (stored int, err error) {
	open := slices.Clone(inFlight)
	found := 0
	for i := range tail {
		content := contentOf(&tail[i])
		if want, ok := acked[tail[i].Offset]; ok {
			if !content.equal(want) {
				return 0, fmt.Errorf("acked at offset %d:\n  %v\nfound there\n  %v", tail[i].Offset, want, content)
			}
			found++
			continue
		}
		at := slices.IndexFunc(open, content.equal)
		if at < 0 {
			return 0, fmt.Errorf("expected only messages that were acked or in flight, found at offset %d\n  %v", tail[i].Offset, content)
		}
		open = slices.Delete(open, at, at+1)
		stored++
	}
	if found != len(acked) {
		return 0, fmt.Errorf("expected all %d acked messages, found %d", len(acked), found)
	}
	return stored, nil
}
