package server_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

func TestPublishAcks(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "orders", "orders.*")
	for i, opt := range []client.PublishOption{client.AckAll(), client.AckLeader(), client.AckNone()} {
		ack, err := s.Publish(t.Context(), fmt.Appendf(nil, "%d", i), opt, client.Key("k"), client.OnSubject("orders.x"))
		if err != nil {
			t.Fatal(err)
		}
		if ack.Offset != int64(i) || ack.Count != 1 || ack.Durable != (i < 2) || ack.Time.IsZero() {
			t.Errorf("ack %d: got %+v", i, ack)
		}
	}
	ack, err := s.PublishBatch(t.Context(), []client.Message{{Value: []byte("3")}, {Key: []byte{}, Tombstone: true}})
	if err != nil || ack.Offset != 3 || ack.Count != 2 {
		t.Fatalf("batch: got %+v, %v", ack, err)
	}
	got := read(t, s, 5, client.FromEarliest())
	if diff := cmp.Diff([]string{"0", "1", "2", "3", ""}, values(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if last := got[4]; !last.Tombstone || last.Value != nil || last.Key == nil {
		t.Errorf("tombstone: got %+v", last)
	}
}

// Of many who expect the same offset one is right, and a refused batch is nowhere.
func TestPublishExpectedOffset(t *testing.T) {
	t.Parallel()
	const rounds, rivals = 20, 8
	k := start(t)
	s := k.create(t, "cas", "cas")
	for round := range rounds {
		var wg sync.WaitGroup
		results := make(chan error, rivals)
		for r := range rivals {
			wg.Go(func() {
				_, err := s.Publish(t.Context(), fmt.Appendf(nil, "%d/%d", round, r), client.ExpectNext(int64(round)))
				results <- err
			})
		}
		wg.Wait()
		won := 0
		for range rivals {
			err := <-results
			if err == nil {
				won++
			} else if !errors.Is(err, client.ErrWrongOffset) {
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d of %d were told yes", round, won, rivals)
		}
	}
	if got := read(t, s, -1, client.FromEarliest(), client.UntilLatest()); len(got) != rounds {
		t.Errorf("got %d messages, want %d", len(got), rounds)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "orders", "orders.>")
	create := func(name string, subjects ...string) error {
		_, err := k.client.CreateStream(t.Context(), client.StreamConfig{Name: name, Subjects: subjects})
		return err
	}
	publish := func(stream *client.Stream, m client.Message, opts ...client.PublishOption) error {
		_, err := stream.PublishMessage(t.Context(), m, opts...)
		return err
	}
	subscribe := func(stream *client.Stream, opts ...client.SubscribeOption) error {
		sub, err := stream.Subscribe(t.Context(), opts...)
		if err == nil {
			sub.Stop()
		}
		return err
	}
	ok := client.Message{Value: []byte("v")}
	for name, test := range map[string]struct {
		err  error
		kind error
	}{
		"name that is a path":        {create("../../x", "a"), client.ErrInvalidArgument},
		"name of our own":            {create("__cursors", "a"), client.ErrInvalidArgument},
		"no subject":                 {create("a"), client.ErrInvalidArgument},
		"subject with a space":       {create("a", "a b"), client.ErrInvalidArgument},
		"subject of NATS":            {create("a", "$JS.>"), client.ErrInvalidArgument},
		"overlapping subjects":       {create("a", "a.>", "a.b"), client.ErrInvalidArgument},
		"name that is taken":         {create("orders", "orders.>"), client.ErrStreamExists},
		"unknown stream":             {publish(k.client.Stream("nope"), ok), client.ErrStreamNotFound},
		"unknown partition":          {publish(s, ok, client.To(7)), client.ErrPartitionNotFound},
		"subject of another stream":  {publish(s, ok, client.OnSubject("elsewhere")), client.ErrInvalidArgument},
		"subject with a wildcard":    {publish(s, ok, client.OnSubject("orders.*")), client.ErrInvalidArgument},
		"message that is too large":  {publish(s, client.Message{Value: make([]byte, 9<<20)}), client.ErrTooLarge},
		"expected offset":            {publish(s, ok, client.ExpectNext(17)), client.ErrWrongOffset},
		"offset beyond the end":      {subscribe(s, client.FromOffset(1)), client.ErrOffsetBeyondEnd},
		"partition that is not":      {subscribe(s, client.Partitions(1)), client.ErrPartitionNotFound},
		"stream to read from is not": {subscribe(k.client.Stream("nope")), client.ErrStreamNotFound},
	} {
		if !errors.Is(test.err, test.kind) {
			t.Errorf("%s: got %v, want %v", name, test.err, test.kind)
		}
		var typed *client.Error
		if errors.As(test.err, &typed) && (typed.Reason == "" || len(typed.Message) < 20) {
			t.Errorf("%s: the error says too little: %+v", name, typed)
		}
	}
	if info, err := s.Info(t.Context()); err != nil || info.Partitions[0].Messages != 0 {
		t.Errorf("something refused was stored: %+v, %v", info, err)
	}
}

func TestCreateIsIdempotentWhereAsked(t *testing.T) {
	t.Parallel()
	k := start(t)
	config := client.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}}
	for range 2 {
		if _, err := k.client.EnsureStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	config.Subjects = []string{"other"}
	var diff *client.ConfigDiffError
	if _, err := k.client.EnsureStream(t.Context(), config); !errors.As(err, &diff) || len(diff.Differences) != 1 || diff.Differences[0].Field != "subjects" {
		t.Errorf("got %v, want one difference in subjects", err)
	}
	for i := range 5 {
		k.create(t, fmt.Sprintf("s%d", i), fmt.Sprintf("s%d", i))
	}
	var got []string
	for info, err := range k.client.Streams(t.Context(), "s*") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Config.Name)
	}
	if !slices.Equal(got, []string{"s0", "s1", "s2", "s3", "s4"}) {
		t.Errorf("streams: got %v", got)
	}
}

// Created means captured: what is published right after CreateStream has answered is recorded.
func TestCreatedMeansCapturing(t *testing.T) {
	t.Parallel()
	k := start(t)
	for i := range 50 {
		name := fmt.Sprintf("s%d", i)
		s := k.create(t, name, name)
		k.publish(t, &nats.Msg{Subject: name, Data: []byte("first")})
		if got := read(t, s, 1, client.FromEarliest()); string(got[0].Value) != "first" {
			t.Fatalf("stream %s: got %q", name, got[0].Value)
		}
	}
}
