package rpc

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

const (
	// routeBytes is about how large a response of WatchMetadata is at most.
	routeBytes = 1 << 20
	// watchPause is how long changes are gathered before they are told.
	watchPause = 20 * time.Millisecond
)

// WatchMetadata tells what there is, unless the client knows it, and then every change.
func (s *serverService) WatchMetadata(req *trestlev1.WatchMetadataRequest, stream grpc.ServerStreamingServer[trestlev1.WatchMetadataResponse]) error {
	if err := refuseUnknown(req); err != nil {
		return toStatus(err)
	}
	if !s.ledger.watchers.tryTake(1) {
		return toStatus(&LimitError{What: "watchers of the metadata", Limit: s.ledger.watchers.total})
	}
	defer s.ledger.watchers.giveBack(1)
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.running, func() { cancel(context.Cause(s.running)) })()
	w := watcher{send: stream.Send, response: &trestlev1.WatchMetadataResponse{}}
	changed, state := s.metadata.Changed(), s.metadata.State()
	if req.GetRevision() == state.Index() && state.Index() != 0 {
		w.know(state)
	} else {
		w.response.FromScratch = true
	}
	for {
		if err := w.tell(state); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return toStatus(context.Cause(ctx))
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return toStatus(context.Cause(ctx))
		}
		changed, state = s.metadata.Changed(), s.metadata.State()
	}
}

// watcher tells one client what has changed since it was told last. It compares what the client was told, not states: what
// does not concern it makes no response.
type watcher struct {
	send    func(*trestlev1.WatchMetadataResponse) error
	brokers map[string]*trestlev1.BrokerInfo
	streams map[uuid.UUID]*trestlev1.StreamRoute
	told    bool // something at all

	response *trestlev1.WatchMetadataResponse // the next one
	size     int                              // of its streams, encoded
}

// know takes the state for told.
func (w *watcher) know(state *metadata.State) {
	w.told = true
	w.brokers, w.streams = map[string]*trestlev1.BrokerInfo{}, map[uuid.UUID]*trestlev1.StreamRoute{}
	for b := range state.Brokers() {
		w.brokers[b.Name] = toBroker(b)
	}
	for s := range state.Streams() {
		w.streams[s.ID] = toRoute(state, s)
	}
}

// tell sends what is different in the state.
func (w *watcher) tell(state *metadata.State) error {
	told, brokers, streams := w.told, w.brokers, w.streams
	w.know(state)
	w.response.RemovedBrokers = missing(brokers, w.brokers)
	for _, id := range missing(streams, w.streams) {
		w.response.RemovedStreams = append(w.response.RemovedStreams, id.String())
	}
	for _, name := range slices.Sorted(maps.Keys(w.brokers)) {
		if b := w.brokers[name]; !proto.Equal(brokers[name], b) {
			w.response.Brokers = append(w.response.Brokers, b)
		}
	}
	for s := range state.Streams() {
		route := w.streams[s.ID]
		if proto.Equal(streams[s.ID], route) {
			continue
		}
		if w.size += proto.Size(route); w.size > routeBytes {
			if err := w.flush(); err != nil {
				return err
			}
			w.size = proto.Size(route)
		}
		w.response.Streams = append(w.response.Streams, route)
	}
	r := w.response
	if told && len(r.GetRemovedBrokers())+len(r.GetRemovedStreams())+len(r.GetBrokers())+len(r.GetStreams()) == 0 {
		return nil
	}
	r.Revision = state.Index()
	return w.flush()
}

func (w *watcher) flush() error {
	err := w.send(w.response)
	w.response, w.size = &trestlev1.WatchMetadataResponse{}, 0
	return err
}

// missing are the keys that are in before and not in now.
func missing[K comparable, V any](before, now map[K]V) (keys []K) {
	for k := range before {
		if _, ok := now[k]; !ok {
			keys = append(keys, k)
		}
	}
	return keys
}

func toRoute(state *metadata.State, s metadata.Stream) *trestlev1.StreamRoute {
	route := &trestlev1.StreamRoute{Name: s.Name(), Uuid: s.ID.String(), Revision: s.Revision}
	for _, id := range s.Partitions {
		p, _ := state.Partition(id)
		route.Partitions = append(route.Partitions, &trestlev1.PartitionRoute{Leader: p.Leader, LeaderEpoch: p.LeaderEpoch})
	}
	return route
}
