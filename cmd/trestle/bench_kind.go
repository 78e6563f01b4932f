package main

import (
	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// benchKinds are the loads that a server is measured with alone.
func benchKinds() []benchKind {
	return []benchKind{benchCapture(), benchPublish(), benchRead(), benchLatency()}
}

func benchCapture() benchKind {
	return benchKind{
		word:  "capture",
		short: "Measure how fast plain NATS messages are recorded",
		long: `Publish plain NATS messages from processes of their own, once to a core NATS subscriber, which
keeps nothing, and once to a stream, round after round. A rate is that of all messages from
the first publish to the last message received, written, or committed (which with --sync ack is
fsynced). What did not come is counted, and so are the gaps with which a stream says so.

The stream bench-PID-N is made for it and deleted. All share the cores of their machines: what
counts is how the two compare, and not either number alone.`,
		example: `  trestle bench capture
  trestle bench capture --messages 5000000 --size 1024 --publishers 4 -o json`,
		flags:  []string{"messages", "size", "publishers", "rounds", "sync", "quick"},
		change: func(*benchLoad) {},
		sides: func(o *bench, l *benchLoad) []loadtest.Side {
			core := loadtest.Core{Server: o.trestle.Server, Crew: o.crew}
			return []loadtest.Side{core.Count("core NATS subscriber"), o.trestle.Capture("capture", client.Sync(l.sync.word))}
		},
	}
}

func benchPublish() benchKind {
	return benchKind{
		word:  "publish",
		short: "Measure how fast messages are published and acked",
		long: `Publish to a stream through the Go client, from processes of their own, and wait for the acks. A
rate is that of acked messages, from the first publish to the last ack.

With --in-flight 1 each message waits for the ack of the one before, and latency is the time of
such a publish. With --rate messages are due at fixed times, and latency counts from when one was
due, so that nothing is left out that held it up. Without either there is no such thing: how long
an ack takes is then only how many messages wait.`,
		example: `  trestle bench publish
  trestle bench publish --in-flight 1 --time 5s
  trestle bench publish --rate 50000 --sync none`,
		flags:  []string{"messages", "size", "publishers", "in-flight", "rate", "time", "sync", "fanout", "listeners", "rounds", "quick"},
		change: func(l *benchLoad) { l.time = durationFlag(benchTime) },
		sides: func(o *bench, l *benchLoad) []loadtest.Side {
			return []loadtest.Side{o.trestle.Publish("publish", client.Sync(l.sync.word))}
		},
	}
}

func benchRead() benchKind {
	return benchKind{
		word:  "read",
		short: "Measure how fast a stream is read from its start",
		long: `Fill a stream, then read it from its start through the Go client, in a process of its own, round
after round. A rate is that of messages handed to the reader one by one, from the call to
subscribe to the last of them.`,
		example: `  trestle bench read
  trestle bench read --messages 5000000 --size 1024`,
		flags:  []string{"messages", "size", "rounds", "quick"},
		change: func(*benchLoad) {},
		sides: func(o *bench, _ *benchLoad) []loadtest.Side {
			return []loadtest.Side{o.trestle.Read("read")}
		},
	}
}

func benchLatency() benchKind {
	return benchKind{
		word:  "latency",
		short: "Measure how long plain NATS messages take through a stream to a reader",
		long: `Publish plain NATS messages at a fixed rate from processes of their own, and have a reader of the
stream receive them in another. Latency counts from when a message was due to when the reader has
it, by the clock of this machine: whatever held up its publisher is part of it.

With --sync ack no reader sees a message before it is fsynced.`,
		example: `  trestle bench latency
  trestle bench latency --rate 10000 --sync none --time 30s`,
		flags: []string{"rate", "time", "size", "publishers", "sync", "rounds", "quick"},
		change: func(l *benchLoad) {
			l.rate.n, l.time = latencyRate, durationFlag(latencyTime)
		},
		sides: func(o *bench, l *benchLoad) []loadtest.Side {
			return []loadtest.Side{o.trestle.Latency("latency", client.Sync(l.sync.word))}
		},
	}
}
