package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// configured is a fake server whose stream has every setting, at revision 7.
func configured() *fakeServer {
	server := newFakeServer("orders", 1)
	server.streams[0].Config, server.streams[0].Revision = everySettingOnTheWire(), 7
	return server
}

func TestUpdateAsksForWhatIsDifferent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*client.StreamConfig)
		want   *trestlev1.StreamConfig // nil: nothing is asked for
	}{
		{"nothing", func(*client.StreamConfig) {}, nil},
		{"the same again", func(c *client.StreamConfig) { c.Subjects = []string{"orders.>", "returns.*"} }, nil},
		{"a limit", func(c *client.StreamConfig) { c.RetainBytes = 5 }, &trestlev1.StreamConfig{Name: "orders", RetainBytes: proto.Int64(5)}},
		{"none of it", func(c *client.StreamConfig) { c.RetainAge = client.None }, &trestlev1.StreamConfig{Name: "orders", RetainAge: durationpb.New(0)}},
		{
			"a truth that is false now", func(c *client.StreamConfig) { c.Fanout, c.Compact = false, false },
			&trestlev1.StreamConfig{Name: "orders", Fanout: proto.Bool(false), Compact: proto.Bool(false)},
		},
		{
			"subjects and labels, as a whole",
			func(c *client.StreamConfig) { c.Subjects[0], c.Labels["team"] = "orders.eu.>", "eu" },
			&trestlev1.StreamConfig{Name: "orders", Subjects: []string{"orders.eu.>", "returns.*"}, Labels: map[string]string{"team": "eu"}},
		},
		{
			"a sync without an interval", func(c *client.StreamConfig) { c.Sync, c.SyncInterval = client.SyncAck, 0 },
			&trestlev1.StreamConfig{Name: "orders", Sync: trestlev1.Sync_SYNC_ACK},
		},
	}
	for _, test := range tests {
		server := configured()
		s := connect(t, server.listen(t).addr).Stream("orders")
		if err := s.Update(within(t), test.change); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var want []*trestlev1.UpdateStreamRequest
		if test.want != nil {
			want = append(want, &trestlev1.UpdateStreamRequest{Config: test.want, Revision: 7})
		}
		if diff := cmp.Diff(want, server.updated, protocmp.Transform()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestUpdateRefusesWhatWouldChangeNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*client.StreamConfig){
		"another name":    func(c *client.StreamConfig) { c.Name = "returns" },
		"a zero limit":    func(c *client.StreamConfig) { c.RetainAge = 0 },
		"no labels":       func(c *client.StreamConfig) { c.Labels = nil },
		"no queue group":  func(c *client.StreamConfig) { c.QueueGroup = "" },
		"what cannot be":  func(c *client.StreamConfig) { c.RetainBytes = -2 },
		"no such a thing": func(c *client.StreamConfig) { c.Sync = "sometimes" },
	} {
		server := configured()
		err := connect(t, server.listen(t).addr).Stream("orders").Update(within(t), change)
		if !errors.Is(err, client.ErrInvalidArgument) || len(server.updated) > 0 {
			t.Errorf("%s: got %v and %d requests, want ErrInvalidArgument and none", name, err, len(server.updated))
		}
	}
}

// TestUpdateBeginsAgain: a change that somebody else made in between is not undone, and not lost.
func TestUpdateBeginsAgain(t *testing.T) {
	t.Parallel()
	server := configured()
	others := 3
	server.onUpdate = func() {
		if others > 0 {
			others--
			server.streams[0].Revision++
			*server.streams[0].Config.RetainMessages++
		}
	}
	s := connect(t, server.listen(t).addr).Stream("orders")
	err := s.Update(within(t), func(c *client.StreamConfig) { c.RetainMessages *= 2 })
	if got, want := server.streams[0].GetConfig().GetRetainMessages(), int64(2*1_000_003); err != nil || got != want || len(server.updated) != 4 {
		t.Errorf("got %d after %d requests, %v, want %d after 4", got, len(server.updated), err, want)
	}
	server.refuse = answer(codes.FailedPrecondition, "TOO_FEW_BROKERS", "there is one", nil)
	server.refuse, server.onUpdate = nil, func() { server.refuse = answer(codes.FailedPrecondition, "TOO_FEW_BROKERS", "there is one", nil) }
	if err := s.Update(within(t), func(c *client.StreamConfig) { c.Replicas = 5 }); !errors.Is(err, client.ErrTooFewBrokers) {
		t.Errorf("got %v, want ErrTooFewBrokers", err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 2)
	s := connect(t, server.listen(t).addr).Stream("orders")
	ctx := within(t)
	for _, err := range []error{
		s.Pause(ctx), s.Pause(ctx, 1, 0), s.Resume(ctx, 1), s.SetReadOnly(ctx, true), s.SetReadOnly(ctx, false, 1),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []*trestlev1.SetStreamModeRequest{
		{Name: "orders", Mode: trestlev1.Mode_MODE_PAUSED},
		{Name: "orders", Mode: trestlev1.Mode_MODE_PAUSED, Partitions: []int32{1, 0}},
		{Name: "orders", Mode: trestlev1.Mode_MODE_ACTIVE, Partitions: []int32{1}},
		{Name: "orders", Mode: trestlev1.Mode_MODE_READ_ONLY},
		{Name: "orders", Mode: trestlev1.Mode_MODE_ACTIVE, Partitions: []int32{1}},
	}
	if diff := cmp.Diff(want, server.modes, protocmp.Transform()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if err := s.Pause(ctx, -1); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("got %v of partition -1, want ErrInvalidArgument", err)
	}
	server.refuse = answer(codes.NotFound, "PARTITION_NOT_FOUND", "no such partition", nil)
	if err := s.Pause(ctx, 9); !errors.Is(err, client.ErrPartitionNotFound) {
		t.Errorf("got %v, want ErrPartitionNotFound", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	if err := c.Stream("orders").Delete(within(t)); err != nil || len(server.streams) > 0 {
		t.Errorf("got %v and %d streams, want none of both", err, len(server.streams))
	}
	if err := c.Stream("orders").Delete(within(t)); !errors.Is(err, client.ErrStreamNotFound) {
		t.Errorf("got %v, want ErrStreamNotFound", err)
	}
}

func TestChangesNeedAClientThatIsOpen(t *testing.T) {
	t.Parallel()
	c, err := client.Connect(within(t), newFakeServer("orders", 1).listen(t).addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	s, ctx := c.Stream("orders"), within(t)
	_, getErr := s.Get(ctx, 0, 0)
	for name, err := range map[string]error{
		"Update": s.Update(ctx, func(c *client.StreamConfig) { c.RetainAge = time.Hour }), "Delete": s.Delete(ctx), "Pause": s.Pause(ctx),
		"Get": getErr, "Handle": s.Handle(ctx, nil),
	} {
		if !errors.Is(err, client.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
}
