package rpc

import (
	"context"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Metadata is the state of the cluster.
type Metadata interface {
	// State is the newest state that this broker has applied.
	State() *metadata.State
	// Changed returns a channel that is closed when there is a newer state than those that were seen before the call.
	Changed() <-chan struct{}
}

// Identity is what a broker says of itself.
type Identity struct {
	Version, ID, Cluster string
	// HOST:PORT.
	GRPCAddress, HTTPAddress string
	NATSURL                  string
}

type serverService struct {
	trestlev1.UnimplementedServerServiceServer
	identity Identity
	metadata Metadata
	ledger   *ledger
	running  context.Context // ends when the broker stops
}

// GetServerInfo tells about the broker and the cluster.
func (s *serverService) GetServerInfo(context.Context, *trestlev1.GetServerInfoRequest) (*trestlev1.GetServerInfoResponse, error) {
	state := s.metadata.State()
	info := &trestlev1.GetServerInfoResponse{
		Version: s.identity.Version, Id: s.identity.ID, Cluster: s.identity.Cluster, ClusterUuid: state.Cluster().UUID.String(),
		GrpcAddress: s.identity.GRPCAddress, HttpAddress: s.identity.HTTPAddress, NatsUrl: s.identity.NATSURL,
		Limits: &trestlev1.Limits{
			MessageBytes: host.MaxMessageBytes, BatchBytes: partition.MaxBatchBytes - batch.HeaderSize, ResponseBytes: maxChunk,
			StreamWindowBytes: int64(s.ledger.limits.StreamWindowBytes), InFlightBytes: int64(s.ledger.limits.InFlightBytes),
			PublishStreams: int32(s.ledger.limits.PublishStreams), Readers: int32(s.ledger.limits.Readers),
		},
		MetadataRevision: state.Index(),
	}
	for b := range state.Brokers() {
		info.Brokers = append(info.Brokers, toBroker(b))
	}
	return info, nil
}

func toBroker(b metadata.Broker) *trestlev1.BrokerInfo {
	return &trestlev1.BrokerInfo{Name: b.Name, Address: b.ClientAddress, Live: b.Live()}
}
