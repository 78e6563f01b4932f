package main

import (
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

func summaryOf(verb string) *fileSummary {
	s := newFileSummary(verb, "orders", "orders.trestle", 2)
	s.count([]client.Message{{Partition: 1, Offset: 1000}, {Partition: 1, Offset: 1001}, {Partition: 1, Offset: 1005}})
	s.gap(0)
	s.gap(1)
	return s
}

func TestFileSummaries(t *testing.T) {
	t.Parallel()
	exported := summaryOf("exported")
	exported.bytes = 5 << 20
	golden(t, "stream-exported.txt", exported.rendered(newOutputFlag(formatText)))
	golden(t, "stream-exported.json", exported.rendered(newOutputFlag(formatJSON)))
	imported := summaryOf("imported")
	imported.partitions[1].first, imported.partitions[1].next = 0, 3
	golden(t, "stream-imported.txt", imported.rendered(newOutputFlag(formatText)))
	golden(t, "stream-imported.json", imported.rendered(newOutputFlag(formatJSON)))
}

func TestPurgedTexts(t *testing.T) {
	t.Parallel()
	purged := []client.Purged{{Partition: 0, LogStart: 10}, {Partition: 1, LogStart: 7, PreviousLogStart: 7}}
	golden(t, "stream-purged.txt", purgedText("orders", purged, true)+purgedText("orders", purged, false))
	golden(t, "stream-purged.json", string(purgedJSON("orders", purged)))
}

// TestProgressIsForPeople: said now and then, not at all by what is done at once, and never to scripts.
func TestProgressIsForPeople(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		formatText: "imported 3,000 messages in 3s\nimported 5,000 messages in 5s\n",
		formatJSON: "",
	} {
		var told strings.Builder
		out := newOutputFlag(formatText, formatJSON)
		if err := out.Set(format); err != nil {
			t.Fatal(err)
		}
		p := newProgressReport(&told, "imported", out)
		published := pubSummary{progress: p}
		for second := range int64(6) {
			p.now = func() time.Time { return p.begun.Add(time.Duration(second) * time.Second) }
			if second != 2 {
				published.add(&client.Ack{Offset: -1}, int(second*1000)-published.messages)
			}
		}
		if told.String() != want {
			t.Errorf("%s: got %q, want %q", format, told.String(), want)
		}
	}
}
