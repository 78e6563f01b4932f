package main

import (
	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// Names of sides, as they stand in tables.
const (
	sideAck       = "Trestle, sync ack"
	sideNone      = "Trestle, sync none"
	sideEnvelope  = "Trestle, sync ack, over NATS"
	sideCore      = "core NATS subscriber"
	sideJetStream = "JetStream"
	sideAlways    = "JetStream, sync always"
	sideLift      = "Liftbridge"
)

func (v *versus) againstJetStream(o *bench, r *opponents, load, single, latency loadtest.Load) []loadtest.Contest {
	t := &o.trestle
	return []loadtest.Contest{{
		Name: contestCapture, Load: load,
		Sides:    []loadtest.Side{t.Capture(sideAck, client.SyncAck), r.plain.Capture(sideJetStream)},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 1, Figure: loadtest.FigureCommittedRate}},
	}, {
		Name: contestPublish, Load: load,
		Sides: []loadtest.Side{t.Publish(sideAck, client.SyncAck), r.plain.Publish(sideJetStream), r.syncAlways.Publish(sideAlways)},
		Pairings: []loadtest.Pairing{
			{Ours: 0, Theirs: 1, Figure: loadtest.FigureRate}, {Ours: 0, Theirs: 2, Figure: loadtest.FigureRate},
		},
	}, {
		Name: contestRead, Load: load,
		Sides:    []loadtest.Side{t.Read("Trestle"), r.plain.Read("JetStream, ordered consumer")},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 1, Figure: loadtest.FigureRate}},
	}, {
		Name: contestSingle, Load: single,
		Sides: []loadtest.Side{
			t.Publish(sideAck, client.SyncAck), t.Publish(sideNone, client.SyncNone), t.Envelope(sideEnvelope, client.SyncAck),
			r.plain.Publish(sideJetStream), r.syncAlways.Publish(sideAlways),
		},
		Pairings: []loadtest.Pairing{
			{Ours: 0, Theirs: 4, Figure: loadtest.FigureP50},
			{Ours: 2, Theirs: 4, Figure: loadtest.FigureP50},
			{Ours: 1, Theirs: 3, Figure: loadtest.FigureP50},
		},
	}, {
		Name: contestLatency, Load: latency,
		Sides: []loadtest.Side{
			t.Latency(sideNone, client.SyncNone), t.Latency(sideAck, client.SyncAck), r.plain.Latency(sideJetStream),
		},
		Pairings: []loadtest.Pairing{
			{Ours: 0, Theirs: 2, Figure: loadtest.FigureP99}, {Ours: 1, Theirs: 2, Figure: loadtest.FigureP99},
		},
	}}
}

func (v *versus) againstCore(o *bench, r *opponents, load, latency loadtest.Load) []loadtest.Contest {
	return []loadtest.Contest{{
		Name: contestCapture, Load: load,
		Sides: []loadtest.Side{
			o.trestle.Capture(sideAck, client.SyncAck), r.core.Count(sideCore), loadtest.Disk("disk, 256 KiB appends fsynced", o.folder),
		},
		Pairings: []loadtest.Pairing{
			{Ours: 0, Theirs: 1, Figure: loadtest.FigureRate},
			{Ours: 0, Theirs: 1, Figure: loadtest.FigureCommittedRate},
			{Ours: 0, Theirs: 2, Figure: loadtest.FigureCommittedRate},
		},
	}, {
		Name: contestLatency, Load: latency,
		Sides: []loadtest.Side{
			o.trestle.Latency(sideNone, client.SyncNone), o.trestle.Latency(sideAck, client.SyncAck), r.core.Count(sideCore),
		},
		Pairings: []loadtest.Pairing{
			{Ours: 0, Theirs: 2, Figure: loadtest.FigureP99}, {Ours: 1, Theirs: 2, Figure: loadtest.FigureP99},
		},
	}}
}

func (v *versus) againstLiftbridge(o *bench, r *opponents, load, single, latency loadtest.Load) []loadtest.Contest {
	t, rates, p50 := &o.trestle, loadtest.FigureRate, loadtest.FigureP50
	return []loadtest.Contest{{
		Name: contestCapture, Load: load,
		Sides:    []loadtest.Side{t.Capture(sideAck, client.SyncAck), r.liftbridge.Capture(sideLift)},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 1, Figure: loadtest.FigureCommittedRate}},
	}, {
		Name: contestPublish, Load: load,
		Sides:    []loadtest.Side{t.Publish(sideAck, client.SyncAck), r.liftbridge.Publish(sideLift)},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 1, Figure: rates}},
	}, {
		Name: contestRead, Load: load,
		Sides:    []loadtest.Side{t.Read("Trestle"), r.liftbridge.Read(sideLift)},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 1, Figure: rates}},
	}, {
		Name: contestSingle, Load: single,
		Sides:    []loadtest.Side{t.Publish(sideAck, client.SyncAck), t.Publish(sideNone, client.SyncNone), r.liftbridge.Publish(sideLift)},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 2, Figure: p50}, {Ours: 1, Theirs: 2, Figure: p50}},
	}, {
		Name: contestLatency, Load: latency,
		Sides:    []loadtest.Side{t.Latency(sideNone, client.SyncNone), t.Latency(sideAck, client.SyncAck), r.liftbridge.Latency(sideLift)},
		Pairings: []loadtest.Pairing{{Ours: 0, Theirs: 2, Figure: loadtest.FigureP99}, {Ours: 1, Theirs: 2, Figure: loadtest.FigureP99}},
	}}
}
