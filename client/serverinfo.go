package client

import (
	"context"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// ServerInfo is what a server says of itself and of the cluster as it knows it.
type ServerInfo struct {
	Version     string
	ID          string // the server's name
	Cluster     string
	ClusterUUID string

	GRPCAddress string // HOST:PORT
	HTTPAddress string // HOST:PORT
	NATSURL     string

	Limits  Limits
	Brokers []BrokerInfo // all that have registered, in the order of names
	// MetadataRevision is the number of the last change that the server knows of.
	MetadataRevision uint64
}

// Limits of a server, in bytes.
type Limits struct {
	MessageBytes  int64 // of one message: key, value and headers
	BatchBytes    int64 // of a batch of several messages
	InFlightBytes int64 // published and not yet stored, by all clients
}

// BrokerInfo is one broker of the cluster.
type BrokerInfo struct {
	Name    string
	Address string // HOST:PORT of its gRPC
	// Live says that it may lead: it is neither away nor about to stop.
	Live bool
}

// Server asks the server that the client is connected to about itself.
func (c *Client) Server(ctx context.Context) (ServerInfo, error) {
	if err := c.begin(); err != nil {
		return ServerInfo{}, err
	}
	defer c.end()
	p, err := trestlev1.NewServerServiceClient(c.conn).GetServerInfo(ctx, &trestlev1.GetServerInfoRequest{})
	if err != nil {
		return ServerInfo{}, callError("describe the server", err)
	}
	info := ServerInfo{
		Version: p.GetVersion(), ID: p.GetId(), Cluster: p.GetCluster(), ClusterUUID: p.GetClusterUuid(),
		GRPCAddress: p.GetGrpcAddress(), HTTPAddress: p.GetHttpAddress(), NATSURL: p.GetNatsUrl(),
		Limits: Limits{
			MessageBytes: p.GetLimits().GetMessageBytes(), BatchBytes: p.GetLimits().GetBatchBytes(), InFlightBytes: p.GetLimits().GetInFlightBytes(),
		},
		MetadataRevision: p.GetMetadataRevision(),
	}
	for _, b := range p.GetBrokers() {
		info.Brokers = append(info.Brokers, BrokerInfo{Name: b.GetName(), Address: b.GetAddress(), Live: b.GetLive()})
	}
	return info, nil
}
