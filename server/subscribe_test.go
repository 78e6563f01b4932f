package server_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trestlehq/trestle/client"
)

// Every range is exact, wherever it cuts the stored batches.
func TestSubscribeRanges(t *testing.T) {
	t.Parallel()
	const n = 40
	k := start(t)
	s := k.create(t, "ranges", "ranges")
	var want []string
	for i := 0; i < n; {
		var messages []client.Message
		for range i%7 + 1 {
			if i < n {
				messages = append(messages, client.Message{Value: fmt.Append(nil, i)})
				want = append(want, fmt.Sprint(i))
				i++
			}
		}
		if _, err := s.PublishBatch(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
	}
	for from := range n + 1 {
		for to := from; to <= n; to += 3 {
			got := values(read(t, s, -1, client.FromOffset(int64(from)), client.UntilOffset(int64(to))))
			if diff := cmp.Diff(want[from:to], got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("from %d until %d (-want +got):\n%s", from, to, diff)
			}
		}
	}
	for name, test := range map[string]struct {
		opts []client.SubscribeOption
		want []string
	}{
		"earliest to latest": {[]client.SubscribeOption{client.FromEarliest(), client.UntilLatest()}, want},
		"last 3":             {[]client.SubscribeOption{client.FromLast(3), client.UntilLatest()}, want[n-3:]},
		"last 1000":          {[]client.SubscribeOption{client.FromLast(1000), client.UntilLatest()}, want},
		"latest":             {[]client.SubscribeOption{client.FromLatest(), client.UntilLatest()}, want[n-1:]},
		"new to latest":      {[]client.SubscribeOption{client.FromNew(), client.UntilLatest()}, nil},
	} {
		if diff := cmp.Diff(test.want, values(read(t, s, -1, test.opts...)), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Subscribed means that the next message is delivered, and a reader at the end is given what comes.
func TestSubscribeFollows(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "live", "live")
	if _, err := s.Publish(t.Context(), []byte("before")); err != nil {
		t.Fatal(err)
	}
	sub, err := s.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	for i := range 100 {
		want := fmt.Sprint(i)
		if _, err := s.Publish(t.Context(), []byte(want)); err != nil {
			t.Fatal(err)
		}
		m, err := sub.Next(t.Context())
		if err != nil || string(m.Value) != want || m.Offset != int64(i+1) {
			t.Fatalf("got %v, %v; want %s", m, err, want)
		}
	}
}
