package loadtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

const startTime = 15 * time.Second

// natsServer is a NATS server on a free port of loopback, with the settings that NATS comes with; JetStream's files are
// those of the job's folder, and fsynced every two minutes unless the job says always.
type natsServer struct{ server *natsserver.Server }

func serveNATS(job *Job) (*natsServer, error) {
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: job.Folder != "", StoreDir: job.Folder, SyncAlways: job.SyncAlways,
	})
	if err != nil {
		return nil, fmt.Errorf("start a NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startTime) {
		s.Shutdown()
		return nil, errors.New("start a NATS server: it takes no connections; is the machine overloaded?")
	}
	return &natsServer{server: s}, nil
}

func (s *natsServer) url() string { return "nats://" + s.server.Addr().String() }

// run serves until it is told to end.
func (s *natsServer) run(ctx context.Context) (Outcome, error) {
	<-ctx.Done()
	return Outcome{Ended: time.Now()}, nil
}

func (s *natsServer) close() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
