package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/trestlehq/trestle/client"
)

// fileSummary says what went from a stream into a file, or the other way.
type fileSummary struct {
	verb   string // exported or imported
	stream string
	path   string
	bytes  int64 // of the file; 0: not known

	messages, gaps int64
	already        int64  // of the messages, that were in the stream before
	note           string // about the stream; empty: none
	partitions     []partitionSummary
}

// partitionSummary counts one partition. First and next are the ends of its offsets in the stream; both are 0 where there
// is no message.
type partitionSummary struct {
	messages, gaps, first, next int64
	// exported is the offset that the first message has in the file.
	exported int64
}

func newFileSummary(verb, stream, path string, partitions int) *fileSummary {
	return &fileSummary{verb: verb, stream: stream, path: path, partitions: make([]partitionSummary, partitions)}
}

// partition is the summary of a partition, which is there from then on.
func (s *fileSummary) partition(n int) *partitionSummary {
	for len(s.partitions) <= n {
		s.partitions = append(s.partitions, partitionSummary{})
	}
	return &s.partitions[n]
}

func (s *fileSummary) count(messages []client.Message) {
	s.messages += int64(len(messages))
	for i := range messages {
		p := s.partition(messages[i].Partition)
		if p.messages == 0 {
			p.first, p.exported = messages[i].Offset, messages[i].Offset
		}
		p.messages++
		p.next = messages[i].Offset + 1
	}
}

func (s *fileSummary) gap(partition int) {
	s.gaps++
	s.partition(partition).gaps++
}

// place takes the offsets that the messages of a partition have got.
func (s *fileSummary) place(ctx context.Context, partition int, sent *sentEnds) error {
	first, err := sent.first.Ack(ctx)
	if err != nil {
		return err
	}
	last, err := sent.last.Ack(ctx)
	if err != nil {
		return err
	}
	p := s.partition(partition)
	p.first, p.next = first.Offset, last.Offset+1
	return nil
}

// placeHeld takes in that the partition held so many messages before, from offset 0 on; all that there are, if nothing was
// missing.
func (s *fileSummary) placeHeld(partition int, held int64, all bool) {
	p := s.partition(partition)
	if p.first = 0; all {
		p.next = held
	}
}

// end is the end of a file: what it holds.
func (s *fileSummary) end() []byte {
	o := jsonObject{dst: []byte{'{'}}
	s.appendCounts(&o)
	return append(o.dst, '}')
}

func (s *fileSummary) appendCounts(o *jsonObject) {
	o.number("messages", s.messages)
	o.number("gaps", s.gaps)
	o.name("partitions")
	o.dst = append(o.dst, '[')
	for i := range s.partitions {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		p := jsonObject{dst: append(o.dst, '{')}
		p.number("id", int64(i))
		p.number("messages", s.partitions[i].messages)
		p.number("gaps", s.partitions[i].gaps)
		p.number("first_offset", s.partitions[i].first)
		p.number("next_offset", s.partitions[i].next)
		o.dst = append(p.dst, '}')
	}
	o.dst = append(o.dst, ']')
}

func (s *fileSummary) rendered(out *outputFlag) string {
	if out.is(formatJSON) {
		o := jsonObject{dst: []byte{'{'}}
		o.text("name", s.stream)
		o.text("file", s.path)
		s.appendCounts(&o)
		if s.bytes > 0 {
			o.number("bytes", s.bytes)
		}
		if s.already > 0 {
			o.number("already", s.already)
		}
		return string(append(o.dst, '}', '\n'))
	}
	return s.text()
}

func (s *fileSummary) text() string {
	var b strings.Builder
	from, to := s.path, "stream "+s.stream
	if s.verb == "exported" {
		from, to = to, from
	}
	fmt.Fprintf(&b, "%s %s messages from %s to %s", s.verb, count(s.messages), from, to)
	if s.bytes > 0 {
		fmt.Fprintf(&b, ", %s", formatSize(s.bytes))
	}
	b.WriteByte('\n')
	if s.already > 0 {
		fmt.Fprintf(&b, "  %s of them were there before\n", count(s.already))
	}
	if s.gaps > 0 && s.verb == "imported" {
		fmt.Fprintf(&b, "  %s gaps are in the file and not in the stream\n", count(s.gaps))
	} else if s.gaps > 0 {
		fmt.Fprintf(&b, "  and %s gaps\n", count(s.gaps))
	}
	for i, p := range s.partitions {
		if p.messages > 0 && p.first != p.exported {
			fmt.Fprintf(&b, "  partition %d: what was at offset %d is at %d, and so on\n", i, p.exported, p.first)
		}
	}
	if s.note != "" {
		fmt.Fprintf(&b, "  %s\n", s.note)
	}
	return b.String()
}
