package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trestlehq/trestle/client"
)

// ackText says where one message is and how safe it is there.
func ackText(ack *client.Ack) string {
	if ack.Offset < 0 {
		return fmt.Sprintf("%s: sent, no ack asked for\n", ack.Stream)
	}
	place := fmt.Sprintf("%s/%d@%d", ack.Stream, ack.Partition, ack.Offset)
	switch {
	case ack.Duplicate():
		return place + " stored before: a duplicate, not stored again\n"
	case ack.Durable:
		return place + " stored and fsynced\n"
	default:
		return place + " stored, not yet fsynced\n"
	}
}

// appendAckJSON renders the ack of one message. With --ack none nothing is known but the stream: the rest is null.
func appendAckJSON(dst []byte, ack *client.Ack) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.text("stream", ack.Stream)
	if ack.Offset < 0 {
		return append(o.dst, `,"partition":null,"offset":null,"timestamp":null,"duplicate":null}`+"\n"...)
	}
	o.number("partition", int64(ack.Partition))
	o.number("offset", ack.Offset)
	o.text("timestamp", formatTime(ack.Time))
	o.truth("duplicate", ack.Duplicate())
	return append(o.dst, '}', '\n')
}

// pubSummary adds up the acks of several batches.
type pubSummary struct {
	stream     string
	messages   int
	duplicates int
	partitions []pubRange // in the order of partitions
	spent      time.Duration
	// progress says how far it is; nil: nobody is told.
	progress *progressReport
}

// pubRange is where the messages of a partition are. Others' may be among them.
type pubRange struct {
	partition   int
	messages    int
	first, last int64
}

// add counts an ack for a batch of so many messages.
func (s *pubSummary) add(ack *client.Ack, messages int) {
	s.messages += messages
	s.duplicates += len(ack.Duplicates)
	if s.progress != nil {
		s.progress.report(int64(s.messages))
	}
	if ack.Offset < 0 || ack.Count == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(s.partitions, ack.Partition, func(r pubRange, p int) int { return r.partition - p })
	if !found {
		s.partitions = slices.Insert(s.partitions, i, pubRange{partition: ack.Partition, first: ack.Offset})
	}
	r := &s.partitions[i]
	r.messages += ack.Count
	r.last = ack.Offset + int64(ack.Count) - 1
}

func (s *pubSummary) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s messages in %s", s.stream, count(s.messages), took(s.spent))
	if s.duplicates > 0 {
		fmt.Fprintf(&b, ", %s of them duplicates that were not stored again", count(s.duplicates))
	}
	for i, r := range s.partitions {
		if i == 0 {
			b.WriteString(", stored as")
		}
		fmt.Fprintf(&b, " %s/%d@%d", s.stream, r.partition, r.first)
		if r.last > r.first {
			fmt.Fprintf(&b, "-%d", r.last)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func (s *pubSummary) json() []byte {
	o := jsonObject{dst: []byte{'{'}}
	o.text("stream", s.stream)
	o.number("messages", int64(s.messages))
	o.number("duplicates", int64(s.duplicates))
	o.name("partitions")
	o.dst = append(o.dst, '[')
	for i, r := range s.partitions {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		p := jsonObject{dst: append(o.dst, '{')}
		p.number("id", int64(r.partition))
		p.number("messages", int64(r.messages))
		p.number("first_offset", r.first)
		p.number("last_offset", r.last)
		o.dst = append(p.dst, '}')
	}
	return append(o.dst, "]}\n"...)
}
