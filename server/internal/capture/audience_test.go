package capture_test

import (
	"fmt"
	"math"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/fanout"
)

// audience is that of a NATS server in this process.
type audience struct {
	server  *natsserver.Server
	lookUps int
	after   func() // is called when they have been looked up
}

func (a *audience) State() (capture.AudienceState, error) {
	state, err := a.server.Subsz(nil)
	if err != nil {
		return capture.AudienceState{}, err
	}
	return capture.AudienceState{Subscriptions: int(state.NumSubs), Begun: state.NumInserts, Ended: state.NumRemoves}, nil
}

func (a *audience) Subscriptions() (all []capture.Subscribed, as capture.AudienceState, err error) {
	a.lookUps++
	state, err := a.server.Subsz(&natsserver.SubszOptions{Subscriptions: true, Limit: math.MaxInt})
	if err != nil {
		return nil, as, err
	}
	for _, s := range state.Subs {
		all = append(all, capture.Subscribed{Client: s.Cid, Number: s.Sid, Subject: s.Subject, Group: s.Queue})
	}
	if a.after != nil {
		a.after()
	}
	return all, capture.AudienceState{Subscriptions: int(state.NumSubs), Begun: state.NumInserts, Ended: state.NumRemoves}, nil
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

// listeners are who listens now, as soon as that is known.
func (w *world) listeners() (l *fanout.Listeners) {
	w.t.Helper()
	untilSend(w.t, "know who listens", func() bool { l = w.Listeners(); return l != nil })
	return l
}

// heard says whether anybody but the stream hears what is published on the subject.
func (w *world) heard(of *capture.Target, subject string) bool {
	w.t.Helper()
	return w.listeners().Beside(of.UUID, subject)
}

// deaf waits until nobody but the stream hears it: those who have gone may be believed to listen for a while.
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
	w.listeners()
	if a.after != nil || !w.heard(&own, "orders") {
		t.Fatal("who came while they were looked up is not heard of")
	}
	before := a.lookUps
	for range 100 {
		if !w.heard(&own, "orders") {
			t.Fatal("who listens is forgotten")
		}
	}
	if a.lookUps != before {
		t.Errorf("they were looked up %d times more", a.lookUps-before)
	}
	if w.Counters().AudienceUnknown == 0 {
		t.Error("that it was not known for a while is not counted")
	}
}

// More listeners than can be looked at are not: somebody listens.
func TestLargeAudience(t *testing.T) {
	t.Parallel()
	w, a := newHeard(t)
	own := target("own", "orders")
	w.subscribe(own, newMemory())
	for i := range 1 << 15 {
		if _, err := w.client.Subscribe(fmt.Sprintf("a.%d", i), func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	w.publish()
	if w.Listeners() != nil || a.lookUps > 0 {
		t.Errorf("they were looked up %d times", a.lookUps)
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
	if !w.Listeners().Beside(own.UUID, "orders") {
		t.Error("nobody is said to hear it")
	}
}
