package ordeal

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"

	"github.com/trestlehq/trestle/client"
)

// payloadBytes is the size of a message.
const payloadBytes = 128

// ledger is what one publisher knows: which messages it sent, each once, and where those are that were acknowledged.
type ledger struct {
	name   string
	stream string
	// ids says that messages carry an id, so that they may be sent again.
	ids bool

	mu    sync.Mutex
	sent  int           // numbers from 0
	floor int           // the oldest number that may be sent again: what was passed over once would come out of order
	acked map[int]int64 // offset by number
	begun []int         // the number with which each life of the server began
}

func newLedger(name, stream string, ids bool) *ledger {
	return &ledger{name: name, stream: stream, ids: ids, acked: map[int]int64{}}
}

// begin notes that the server begins another life.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = append(l.begun, l.sent)
}

// next is the number of a new message.
func (l *ledger) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	return l.sent - 1
}

func (l *ledger) ack(number int, offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.acked[number]; ok && before != offset {
		return fmt.Errorf("message %s was acknowledged at offset %d and at offset %d", l.id(number), before, offset)
	}
	l.acked[number] = offset
	return nil
}

// unacked lists the newest messages that were sent and not acknowledged, at most limit of them, oldest first.
func (l *ledger) unacked(limit int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []int
	for n := l.sent - 1; n >= l.floor && len(list) < limit; n-- {
		if _, ok := l.acked[n]; !ok {
			list = append(list, n)
		}
	}
	slices.Reverse(list)
	if len(list) > 0 {
		l.floor = list[0]
	}
	return list
}

func (l *ledger) counts() (sent, acked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, len(l.acked)
}

func (l *ledger) id(number int) string { return l.name + " " + strconv.Itoa(number) }

// payload of a message: its name, its number, and bytes that follow from both.
func (l *ledger) payload(number int) []byte {
	id := l.id(number)
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(id)) // never fails
	value := append([]byte(id), ' ')
	for i := len(value); i < payloadBytes; i++ {
		value = append(value, 'a'+byte(sum.Sum64()>>(i%56)&15))
	}
	return value
}

// numberIn is the number in a payload of this publisher, if the payload is whole.
func (l *ledger) numberIn(value []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(value, []byte(l.name+" "))
	if !ok {
		return 0, false
	}
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	number, err := strconv.Atoi(string(digits))
	return number, err == nil && bytes.Equal(value, l.payload(number))
}

// audit holds what a stream gave back against what publishers know. The rules: an offset once read keeps its message;
// offsets have no holes; nothing is there that was not sent; nothing is there twice; each publisher's messages are in the
// order it first sent them; what was acknowledged is at its offset (S1, S11); and of messages without an id none is
// missing between two that were sent to the same life of the server.
type audit struct {
	ledgers map[string]*ledger // by name
	read    [][]byte           // values by offset, of all reads before
}

func newAudit(ledgers ...*ledger) *audit {
	a := &audit{ledgers: map[string]*ledger{}}
	for _, l := range ledgers {
		a.ledgers[l.name] = l
	}
	return a
}

// hold checks all that is stored, from offset 0 on.
func (a *audit) hold(stored []client.Message) error {
	if len(stored) < len(a.read) {
		return fmt.Errorf("%d messages are there and %d were read before", len(stored), len(a.read))
	}
	offsets := map[string]map[int]int64{}
	last := map[string]int{}
	for i, m := range stored {
		if m.Offset != int64(i) {
			return fmt.Errorf("offset %d follows %d", m.Offset, i-1)
		}
		if i < len(a.read) && !bytes.Equal(m.Value, a.read[i]) {
			return fmt.Errorf("offset %d was %q when it was read before and is %q", i, a.read[i], m.Value)
		}
		name, _, _ := bytes.Cut(m.Value, []byte(" "))
		l := a.ledgers[string(name)]
		if l == nil {
			return fmt.Errorf("offset %d has %q, which nobody sent", i, m.Value)
		}
		number, whole := l.numberIn(m.Value)
		if sent, _ := l.counts(); !whole || number >= sent {
			return fmt.Errorf("offset %d has %q, which was not sent so", i, m.Value)
		}
		if offsets[l.name] == nil {
			offsets[l.name] = map[int]int64{}
			last[l.name] = -1
		}
		if before, twice := offsets[l.name][number]; twice {
			return fmt.Errorf("message %s is at offset %d (%v) and again at %d (%v)",
				l.id(number), before, stored[before].Time, i, m.Time)
		}
		if number < last[l.name] {
			return fmt.Errorf("message %s at offset %d follows %s", l.id(number), i, l.id(last[l.name]))
		}
		offsets[l.name][number], last[l.name] = int64(i), number
	}
	for _, l := range a.ledgers {
		if err := l.hold(offsets[l.name]); err != nil {
			return err
		}
	}
	for _, m := range stored[len(a.read):] {
		a.read = append(a.read, m.Value)
	}
	return nil
}

// hold checks where this publisher's messages are.
func (l *ledger) hold(offsets map[int]int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, offset := range l.acked {
		switch at, ok := offsets[number]; {
		case !ok:
			return fmt.Errorf("message %s was acknowledged at offset %d and is gone", l.id(number), offset)
		case at != offset:
			return fmt.Errorf("message %s was acknowledged at offset %d and is at %d", l.id(number), offset, at)
		}
	}
	if l.ids {
		return nil
	}
	for life, begin := range l.begun {
		end := l.sent
		if life+1 < len(l.begun) {
			end = l.begun[life+1]
		}
		missing := -1
		for number := begin; number < end; number++ {
			_, ok := offsets[number]
			switch {
			case !ok && missing < 0:
				missing = number
			case ok && missing >= 0:
				return fmt.Errorf("message %s is missing, and %s, sent later to the same life of the server, is there", l.id(missing), l.id(number))
			}
		}
	}
	return nil
}

// seen adds what a reader was shown while messages came in: it is to stay.
func (a *audit) seen(messages []client.Message) error {
	for _, m := range messages {
		if m.Offset < int64(len(a.read)) {
			if !bytes.Equal(a.read[m.Offset], m.Value) {
				return fmt.Errorf("offset %d was shown as %q and is %q", m.Offset, m.Value, a.read[m.Offset])
			}
			continue
		}
		if m.Offset > int64(len(a.read)) {
			return fmt.Errorf("a reader was shown offset %d after %d", m.Offset, len(a.read)-1)
		}
		a.read = append(a.read, m.Value)
	}
	return nil
}
