package fanout_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/fanout"
)

// What nobody would hear is not published, and counted (2.1). Whoever begins to listen hears all that is published from then on,
// also in the middle of one batch, whose subjects differ.
func TestFanoutUnheard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, epoch := lead(t, vfs.NewMem(1))
		out := &publisher{msgs: make(chan *nats.Msg, 100)}
		var counters fanout.Counters
		f := start(t, p, epoch, out, &counters)
		defer func() { f.Close(); _ = p.Close() }()
		out.listen(t, "a")
		publish(t, p, record("", "", "0"), record("a", "", "1"), record("", "", "2"), record("own", "", "3"), record("a", "", "4"))
		synctest.Wait()
		out.listen(t, "*n", "ow*", "own", "b.>")
		publish(t, p, record("", "", "5"), record("a", "", "6"), record("", "", "7"))
		synctest.Wait()
		for _, want := range []string{"1", "4", "5", "7"} {
			if msg := out.next(t); string(msg.Data) != want {
				t.Errorf("got %s, want %s", msg.Data, want)
			}
		}
		if got := counters.Now(); got != (fanout.Counts{Published: 4, Unheard: 4}) {
			t.Errorf("counts %+v", got)
		}
	})
}

// Who listens beside a stream is everybody else, by NATS's rules for patterns.
func TestListeners(t *testing.T) {
	t.Parallel()
	other := uuid.New()
	l := fanout.NewListeners()
	for subject, of := range map[string]uuid.UUID{
		"orders.*": stream, "orders.b": other, "bills.>": uuid.Nil, "orders.*.c": uuid.Nil, "all": stream, "all.>": other,
	} {
		if err := l.AddStream(subject, of); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		stream  uuid.UUID
		subject string
		want    bool
	}{
		{stream, "orders.a", false},
		{stream, "orders.b", true},
		{other, "orders.b", true},
		{other, "orders.a", true},
		{stream, "orders.a.c", true},
		{stream, "bills", false},
		{stream, "bills.a.b", true},
		{stream, "all", false},
		{other, "all.x", false},
		{stream, "nothing", false},
	} {
		if got := l.Beside(c.stream, c.subject); got != c.want {
			t.Errorf("%s is heard beside %s: %v", c.subject, c.stream, got)
		}
	}
	var unknown *fanout.Listeners
	if !unknown.Beside(stream, "orders.a") {
		t.Error("where it is not known who listens, nobody is said to")
	}
	if l.Add("a..b") == nil {
		t.Error("somebody listens on a..b")
	}
}
