package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
)

func TestHandle(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	server.log(0).appendValues(t, "a", "b", "c", "d")
	s := connect(t, server.listen(t).addr).Stream("orders")
	var got []string
	take := func(_ context.Context, m *client.Message) error {
		got = append(got, string(m.Value))
		return nil
	}
	if err := s.Handle(within(t), take, client.FromOffset(1), client.UntilLatest()); err != nil || !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("got %q, %v, want b, c and d", got, err)
	}
	enough := errors.New("enough")
	refuse := func(_ context.Context, m *client.Message) error {
		if m.Offset == 2 {
			return enough
		}
		return nil
	}
	if err := s.Handle(within(t), refuse, client.FromEarliest()); !errors.Is(err, enough) {
		t.Errorf("got %v, want what the handler said", err)
	}
	server.awaitReads(t, 0)
	ctx, cancel := context.WithCancel(within(t))
	stop := func(context.Context, *client.Message) error { cancel(); return nil }
	if err := s.Handle(ctx, stop, client.FromLast(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	log := server.log(1)
	log.appendValues(t, "a", "b")
	log.appendControl(t, batch.Control{Kind: batch.ControlEpoch, Epoch: 3})
	log.appendValues(t, "c")
	log.next = 5 // what was at 3 and 4 is compacted away
	log.appendValues(t, "f")
	s := connect(t, server.listen(t).addr).Stream("orders")
	for offset, want := range map[int64]string{0: "a", 1: "b", 2: "c", 5: "f"} {
		m, err := s.Get(within(t), 1, offset)
		if err != nil || string(m.Value) != want || m.Offset != offset || m.Partition != 1 {
			t.Errorf("offset %d: got %v, %v, want %s", offset, m, err, want)
		}
	}
	if m, err := s.Get(within(t), 1, 3); !errors.Is(err, client.ErrOffsetGone) {
		t.Errorf("got %v, %v of one that is compacted away, want ErrOffsetGone", m, err)
	}
	if m, err := s.Get(within(t), 1, 6); !errors.Is(err, client.ErrOffsetBeyondEnd) {
		t.Errorf("got %v, %v of the end, want ErrOffsetBeyondEnd", m, err)
	}
	server.awaitReads(t, 0)
}
