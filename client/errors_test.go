package client_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/client"
)

func TestReasonsHaveKinds(t *testing.T) {
	t.Parallel()
	kinds := client.KindOfReason
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	for reason, kind := range kinds {
		server.with(func() {
			server.refuse = answer(codes.FailedPrecondition, reason, "no, because", map[string]string{"stream": "orders"})
		})
		_, err := c.Stream("orders").Info(within(t))
		var e *client.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v, want an *Error", reason, err)
			continue
		}
		for _, other := range kinds {
			if is, want := errors.Is(err, other), errors.Is(kind, other); is != want {
				t.Errorf("%s: errors.Is(%q) is %t, want %t", reason, other, is, want)
			}
		}
		if e.Reason != reason || err.Error() != "no, because" || !cmp.Equal(e.Names, map[string]string{"stream": "orders"}) {
			t.Errorf("%s: got reason %q, text %q, names %v", reason, e.Reason, err, e.Names)
		}
	}
}

func TestErrorsWithoutAReasonOfOurs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		err     error
		is      error
		reason  string
		message string
	}{
		{"a reason of a newer server", answer(codes.Unavailable, "MOON_IS_FULL", "wait", nil), client.ErrUnavailable, "MOON_IS_FULL", "wait"},
		{"one with a code that says nothing", answer(codes.Aborted, "MOON_IS_FULL", "wait", nil), client.ErrInternal, "MOON_IS_FULL", "wait"},
		{"one of a resource that is not known here", answer(codes.ResourceExhausted, "MOON_IS_FULL", "wait", nil), client.ErrInternal, "MOON_IS_FULL", "wait"},
		{
			"gRPC's unimplemented", status.Error(codes.Unimplemented, "unknown method"), client.ErrUnimplemented, "UNIMPLEMENTED",
			`describe stream "orders": unknown method`,
		},
		{
			"gRPC's invalid argument", status.Error(codes.InvalidArgument, "bad"), client.ErrInvalidArgument, "INVALID_ARGUMENT",
			`describe stream "orders": bad`,
		},
		{"gRPC's data loss", status.Error(codes.DataLoss, "rot"), client.ErrCorruptData, "CORRUPT_DATA", `describe stream "orders": rot`},
		{"any other", status.Error(codes.Unknown, "oh"), client.ErrInternal, "INTERNAL", `describe stream "orders": oh`},
	}
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	for _, test := range tests {
		server.with(func() { server.refuse = test.err })
		_, err := c.Stream("orders").Info(within(t))
		var e *client.Error
		if !errors.As(err, &e) || !errors.Is(err, test.is) || e.Reason != test.reason || err.Error() != test.message {
			t.Errorf("%s: got %v (%#v), want %v with reason %s", test.name, err, e, test.is, test.reason)
		}
	}
}

func TestAContextThatIsDoneIsSaidSo(t *testing.T) {
	t.Parallel()
	c := connect(t, newFakeServer("orders", 1).listen(t).addr)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Stream("orders").Info(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := c.Stream("orders").Info(late); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
}
