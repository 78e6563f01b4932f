// Package loadtest puts load on brokers and measures what becomes of it. Publishers, subscribers and the NATS servers that
// Trestle is compared with are workers: processes of their own, this program started again, so that none shares memory,
// garbage collection or a scheduler with what is measured. Whoever starts them tells them what to do in one line of JSON,
// lets them begin when all are ready, and gets one line of JSON back.
package loadtest

import (
	"time"
)

// Task is what a worker does.
type Task string

// The tasks. Those that publish end when Messages are published or Time is over, those that receive when Messages have come
// or nothing more comes.
const (
	TaskFlood   Task = "flood"   // publish plain NATS messages on Subject
	TaskCount   Task = "count"   // receive them as a core NATS subscriber
	TaskProduce Task = "produce" // publish to Stream through the client, InFlight unacked at most
	TaskRead    Task = "read"    // read Stream from its start through the client
	TaskHear    Task = "hear"    // receive what is new in Stream through the client
	// TaskEnvelope publishes envelopes over NATS, one at a time, and waits for each ack at an inbox.
	TaskEnvelope Task = "envelope"

	TaskJetStreamProduce Task = "jetstream-produce" // publish to a JetStream stream on Subject, InFlight unacked at most
	TaskJetStreamRead    Task = "jetstream-read"    // read Stream from its start with an ordered consumer
	TaskJetStreamHear    Task = "jetstream-hear"    // receive what is new in Stream with an ordered consumer

	TaskLiftbridgeProduce Task = "liftbridge-produce" // publish to Liftbridge's Stream, InFlight unacked at most
	TaskLiftbridgeRead    Task = "liftbridge-read"    // read Liftbridge's Stream from its start
	TaskLiftbridgeHear    Task = "liftbridge-hear"    // receive what is new in Liftbridge's Stream

	TaskServeNATS       Task = "serve-nats"       // be a NATS server, with JetStream if there is a Folder
	TaskServeLiftbridge Task = "serve-liftbridge" // run Program, a Liftbridge server, in Folder
)

// Job is what a worker is told.
type Job struct {
	Task    Task   `json:"task"`
	Addr    string `json:"addr,omitempty"` // HOST:PORT of a Trestle or Liftbridge server
	NATS    string `json:"nats,omitempty"` // URL of a NATS server
	Stream  string `json:"stream,omitempty"`
	Subject string `json:"subject,omitempty"`

	Messages int64 `json:"messages,omitempty"` // 0: as many as Time allows
	Size     int   `json:"size,omitempty"`     // bytes of a payload
	InFlight int   `json:"in_flight,omitempty"`
	// Rate in messages per second makes an open loop: message n is due at a time that does not depend on how the ones
	// before it fared, and latency counts from there. 0: as fast as it goes.
	Rate int64         `json:"rate,omitempty"`
	Time time.Duration `json:"time,omitempty"` // 0: no limit

	Program    string `json:"program,omitempty"`
	Folder     string `json:"folder,omitempty"`
	SyncAlways bool   `json:"sync_always,omitempty"` // JetStream fsyncs before it acks
}

// readiness is a worker's first line.
type readiness struct {
	Ready  bool   `json:"ready"`
	Serves Server `json:"serves"` // what it is, if it is a server
}

// Outcome is a worker's last line.
type Outcome struct {
	// Messages that were published and, where that is asked for, acked; or that came.
	Messages int64 `json:"messages"`
	// Failed to be published.
	Failed int64     `json:"failed,omitempty"`
	Begun  time.Time `json:"begun"`
	// Ended is when the last ack or message came, or NATS had taken the last message.
	Ended time.Time `json:"ended"`
	// Allocations on the heap of the worker, from begin to end.
	Allocations uint64 `json:"allocations"`
	// Latency is a histogram of nanoseconds; nil: not measured.
	Latency *Histogram `json:"latency,omitempty"`
}
