package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Update reads the configuration of the stream, has change change it, and asks for what is different then. When somebody
// else has changed the stream in between, it begins again: change may be called several times, each time with what the
// stream has. A change of nothing asks for nothing.
//
// A setting that had a value and is left at zero is ErrInvalidArgument, because zero says nothing: None means none.
func (s *Stream) Update(ctx context.Context, change func(*StreamConfig)) error {
	for {
		info, err := s.Info(ctx)
		if err != nil {
			return err
		}
		asked, err := changed(&info.Config, change)
		if err != nil || asked == nil {
			return err
		}
		err = s.update(ctx, asked, info.Revision)
		if !errors.Is(err, ErrStaleRevision) || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Stream) update(ctx context.Context, asked *trestlev1.StreamConfig, revision uint64) error {
	if err := s.client.begin(); err != nil {
		return err
	}
	defer s.client.end()
	_, err := s.client.streams.UpdateStream(ctx, &trestlev1.UpdateStreamRequest{Config: asked, Revision: revision})
	if err != nil {
		return callError(fmt.Sprintf("update stream %q", s.name), err)
	}
	return nil
}

// changed is what the change makes different in the configuration, with the stream's name; nil if nothing is.
func changed(have *StreamConfig, change func(*StreamConfig)) (*trestlev1.StreamConfig, error) {
	want := *have
	want.Subjects, want.Labels = slices.Clone(have.Subjects), maps.Clone(have.Labels)
	change(&want)
	if want.Name != have.Name {
		return nil, newError(reasonInvalidArgument, "update stream %q: its name is %q for ever, not %q; create another stream", have.Name, have.Name, want.Name)
	}
	before, err := everyField(have)
	if err != nil {
		return nil, err
	}
	after, err := everyField(&want)
	if err != nil {
		return nil, err
	}
	if err := refuseCleared(before, after); err != nil {
		return nil, err
	}
	different := false
	was, is := before.ProtoReflect(), after.ProtoReflect()
	is.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if was.Has(field) && was.Get(field).Equal(value) {
			is.Clear(field)
			return true
		}
		different = true
		return true
	})
	if !different {
		return nil, nil //nolint:nilnil // nothing to ask for is no error
	}
	after.Name = have.Name
	return after, nil
}

// everyField is toProto with the truths that are false, which a new stream has without being asked.
func everyField(cfg *StreamConfig) (*trestlev1.StreamConfig, error) {
	p, err := cfg.toProto()
	if err != nil {
		return nil, err
	}
	p.Fanout, p.Compact, p.RequireExpectedOffset = &cfg.Fanout, &cfg.Compact, &cfg.RequireExpectedOffset
	return proto.CloneOf(p), nil
}

// refuseCleared refuses what was set and is not any more: on the wire that would change nothing. The interval of a sync
// that is left goes by itself.
func refuseCleared(before, after *trestlev1.StreamConfig) (err error) {
	is := after.ProtoReflect()
	before.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		switch {
		case is.Has(field), field.Name() == "sync_interval" && before.GetSync() != after.GetSync():
			return true
		}
		err = newError(reasonInvalidArgument, "update stream %q: %s was set and is zero now, which asks for nothing; give it a value, or None", before.GetName(), field.Name())
		return false
	})
	return err
}
