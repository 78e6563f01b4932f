package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/host"
)

// Settings of the embedded NATS. Pending bytes of a slow reader wait in the server, and publishers are slowed down,
// before anything is dropped.
const (
	natsMaxPending    = 256 << 20
	natsWriteDeadline = time.Minute // after that the write is tried again: a reader that is slow is not cut off for it
	natsPingInterval  = time.Hour   // whoever does not read does not answer, either; TCP finds peers that are dead
	natsStartTimeout  = 10 * time.Second
	// natsLeaving is longer than any stop: while it lasts, a NATS that takes nobody in leaves those who are there to us.
	natsLeaving = 24 * time.Hour
)

// embeddedNATS is a NATS server in this process.
type embeddedNATS struct {
	server  *natsserver.Server
	address string
	since   time.Time // before it began to listen
	leaving sync.WaitGroup

	// What follows belongs to whoever stops the broker.
	refused bool   // nobody comes in any more
	newest  uint64 // connection by then
}

func startNATS(ctx context.Context, address, name string, logger *slog.Logger) (*embeddedNATS, error) {
	hostName, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: port %q is not a number", portText)
	}
	if port == 0 {
		port = natsserver.RANDOM_PORT
	}
	if err := portFree(ctx, address); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w; choose another with --nats-listen, or use the NATS that is there with --nats nats://%s", err, address)
	}
	s, err := natsserver.NewServer(&natsserver.Options{
		ServerName: name, Host: hostName, Port: port,
		NoSigs: true, NoSystemAccount: true,
		MaxPayload: host.MaxMessageBytes, MaxPending: natsMaxPending, WriteDeadline: natsWriteDeadline,
		WriteTimeout: natsserver.WriteTimeoutPolicyRetry, PingInterval: natsPingInterval,
		LameDuckGracePeriod: natsLeaving, LameDuckDuration: 2 * natsLeaving,
	})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	since := time.Now()
	s.SetLoggerV2(&natsLog{logger.With("component", "nats")}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(natsStartTimeout) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("embedded NATS: it did not start in " + natsStartTimeout.String())
	}
	return &embeddedNATS{server: s, address: s.Addr().String(), since: since}, nil
}

// portFree says why nothing can listen there; the NATS server itself would end the process.
func portFree(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// published says whether anybody has published anything since it listens.
func (n *embeddedNATS) published() (bool, error) {
	state, err := n.server.Varz(nil)
	if err != nil {
		return true, fmt.Errorf("asking the embedded NATS what it has heard: %w", err)
	}
	return state.InMsgs > 0, nil
}

// State is how many subscriptions there are, came and went.
func (n *embeddedNATS) State() (capture.AudienceState, error) {
	state, err := n.server.Subsz(nil)
	if err != nil {
		return capture.AudienceState{}, fmt.Errorf("asking the embedded NATS for its subscriptions: %w", err)
	}
	return audienceState(state), nil
}

// Subscriptions are all there are: it has no other servers around it. The state is of before the list.
func (n *embeddedNATS) Subscriptions() ([]capture.Subscribed, capture.AudienceState, error) {
	state, err := n.server.Subsz(&natsserver.SubszOptions{Subscriptions: true, Limit: math.MaxInt})
	if err != nil {
		return nil, capture.AudienceState{}, fmt.Errorf("listing the subscriptions of the embedded NATS: %w", err)
	}
	all := make([]capture.Subscribed, 0, len(state.Subs))
	for i := range state.Subs {
		s := &state.Subs[i]
		all = append(all, capture.Subscribed{Client: s.Cid, Number: s.Sid, Subject: s.Subject, Group: s.Queue})
	}
	return all, audienceState(state), nil
}

func audienceState(s *natsserver.Subsz) capture.AudienceState {
	return capture.AudienceState{Subscriptions: int(s.NumSubs), Begun: s.NumInserts, Ended: s.NumRemoves}
}

// stop ends the server and waits for it.
func (n *embeddedNATS) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
	n.leaving.Wait()
}

// natsLog gives the messages of the NATS server to slog.
type natsLog struct{ logger *slog.Logger }

func (l *natsLog) Noticef(format string, v ...any) { l.logger.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLog) Warnf(format string, v ...any)   { l.logger.Warn(fmt.Sprintf(format, v...)) }
func (l *natsLog) Fatalf(format string, v ...any)  { l.logger.Error(fmt.Sprintf(format, v...)) }
func (l *natsLog) Errorf(format string, v ...any)  { l.logger.Error(fmt.Sprintf(format, v...)) }
func (l *natsLog) Debugf(format string, v ...any)  { l.logger.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLog) Tracef(format string, v ...any)  { l.logger.Debug(fmt.Sprintf(format, v...)) }
