package capture_test

import (
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/trestlehq/trestle/server/internal/capture"
)

// audience is that of a NATS server in this process.
type audience struct {
	server  *natsserver.Server
	lookUps int
	after   func() // is called when they have been looked up
}

func (a *audience) Changes() (uint64, error) {
	state, err := a.server.Subsz(nil)
	if err != nil {
		return 0, err
	}
	return state.NumInserts + state.NumRemoves, nil
}

func (a *audience) Subscriptions() (all []capture.Subscribed, changes uint64, err error) {
	a.lookUps++
	state, err := a.server.Subsz(&natsserver.SubszOptions{Subscriptions: true})
	if err != nil {
		return nil, 0, err
	}
	for _, s := range state.Subs {
		all = append(all, capture.Subscribed{Client: s.Cid, Number: s.Sid, Subject: s.Subject, Group: s.Queue})
	}
	if a.after != nil {
		a.after()
	}
	return all, state.NumInserts + state.NumRemoves, nil
}

// newHeard is a world that knows who listens.
func newHeard(t *testing.T) (*world, *audience) {
	t.Helper()
	a := &audience{}
	w := newWorld(t, func(c *capture.Config) { c.Audience = a })
	a.server = w.server
	return w, a
}

// listen subscribes as somebody else does, until leave is called.
func (w *world) listen(subject, group string) (leave func()) {
	w.t.Helper()
	sub, err := w.client.QueueSubscribeSync(subject, group)
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish()
	return func() {
		w.t.Helper()
		if err := sub.Unsubscribe(); err != nil {
			w.t.Fatal(err)
		}
		w.publish()
	}
}

// heard says whether anybody but the stream may hear what is published on the subject.
func (w *world) heard(of *capture.Target, subject string) bool {
	return w.Listeners().Beside(of.UUID, subject)
}

// deaf waits until it is known that nobody hears it.
func (w *world) deaf(of *capture.Target, subject string) {
	w.t.Helper()
	untilSend(w.t, "know that nobody listens on "+subject, func() bool { return !w.heard(of, subject) })
}

// What a stream fans out is heard by whoever listens on the subject, itself apart (2.1). Who has begun to listen is known at once.
func TestHeard(t *testing.T) {
	t.Parallel()
	w, _ := newHeard(t)
	own, other, grouped := target("own", "orders.*", "bills"), target("other", "orders.b"), target("grouped", "g")
	grouped.Group = "g"
	w.deaf(&own, "orders.a")
	sub := w.subscribe(own, newMemory())
	w.deaf(&own, "orders.a")
	w.deaf(&own, "bills")
	for subject, group := range map[string]string{"orders.a": "", "orders.>": "", ">": "", "*.a": "g"} {
		leave := w.listen(subject, group)
		if !w.heard(&own, "orders.a") {
			t.Errorf("nobody hears orders.a and somebody listens on %q", subject)
		}
		leave()
		w.deaf(&own, "orders.a")
	}
	overlapping := w.subscribe(other, newMemory())
	if !w.heard(&own, "orders.b") || !w.heard(&other, "orders.b") {
		t.Error("two streams do not hear each other")
	}
	w.deaf(&own, "orders.a")
	w.drain(sub)
	w.deaf(&other, "orders.b")
	w.drain(overlapping)
	w.subscribe(grouped, newMemory())
	w.deaf(&own, "orders.a")
	if !w.heard(&grouped, "g") {
		t.Error("the members of a queue group are known")
	}
}

// As long as nobody comes or goes, nobody is looked up; and whoever comes while they are is not missed.
func TestListenersAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	w, a := newHeard(t)
	own := target("own", "orders")
	w.subscribe(own, newMemory())
	a.after = func() { a.after = nil; w.listen("orders", "") }
	w.Listeners()
	if a.after != nil || !w.heard(&own, "orders") {
		t.Fatal("who came while they were looked up is not heard of")
	}
	untilSend(t, "know who listens", func() bool { return w.Listeners() != nil })
	before := a.lookUps
	for range 100 {
		if w.Listeners() == nil || !w.heard(&own, "orders") {
			t.Fatal("who listens is forgotten")
		}
	}
	if after := a.lookUps; after != before {
		t.Errorf("they were looked up %d times more", after-before)
	}
}

// clientID is how NATS knows the connection that captures; 0: there is none.
func (w *world) clientID() uint64 {
	ids, err := w.ClientIDs()
	if err != nil {
		return 0
	}
	return ids[0]
}

// After the connection was made anew, the stream knows itself again, and nobody else is taken for it.
func TestHeardAfterOutage(t *testing.T) {
	t.Parallel()
	w, _ := newHeard(t)
	own := target("own", "orders")
	w.subscribe(own, newMemory())
	w.deaf(&own, "orders")
	for range 2 {
		before := w.clientID()
		if err := w.server.DisconnectClientByID(before); err != nil {
			t.Fatal(err)
		}
		untilSend(t, "come back", func() bool { return w.clientID() != before && w.Hearing() == nil })
		w.deaf(&own, "orders")
	}
	w.listen("orders", "")
	if !w.heard(&own, "orders") {
		t.Error("nobody hears it")
	}
}

// A NATS elsewhere does not tell who listens.
func TestHeardElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := target("own", "orders")
	w.subscribe(own, newMemory())
	if !w.heard(&own, "orders") {
		t.Error("nobody is said to hear it")
	}
}
