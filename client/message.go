package client

import (
	"bytes"
	"slices"
	"time"
)

// Message is what is published and read. One that was read is valid for as long as it is held; it keeps the chunk that
// it came with, up to 1 MiB or its own size, alive, so Clone what is kept for long.
//
// Subject, Reply and names of headers hold any bytes, as NATS does: they need not be UTF-8.
type Message struct {
	// Stream to Time say where and when the message was stored. PublishMessage and PublishBatch
	// do not look at them: the stream is that of the call, the partition that of To.
	Stream      string
	Partition   int
	Offset      int64
	LeaderEpoch uint64 // of the leader that stored it
	Time        time.Time

	// Subject is empty when the message has none but the stream's. It must be one that the stream records, without
	// wildcards.
	Subject string
	Reply   string
	// Key and Value are nil when there is none, and empty when they are empty.
	Key     []byte
	Value   []byte
	Headers []HeaderField
	// Tombstone says that the message deletes what Key names. An empty Value does not.
	Tombstone bool
}

// HeaderField is one header of a message. Names may repeat, and order is kept.
type HeaderField struct {
	Name  string
	Value []byte
}

// Header is the first value of the header of that name, empty if there is none. Case counts.
func (m *Message) Header(name string) string {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Clone is a copy that shares no memory with m.
func (m *Message) Clone() *Message {
	c := *m
	c.Key, c.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
	c.Headers = slices.Clone(m.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}
