package loadtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// liftbridgeServer is Liftbridge's own server, a process of the worker's, with an embedded NATS and the settings that it comes
// with. It ends with the worker.
type liftbridgeServer struct {
	process *exec.Cmd
	where   Server
	said    bytes.Buffer // to be read when the process has ended
}

// serveLiftbridge starts the job's program in the job's folder and returns when it takes streams.
func serveLiftbridge(ctx context.Context, job *Job) (*liftbridgeServer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*startTime)
	defer cancel()
	s := &liftbridgeServer{}
	config, err := s.configure(ctx, job.Folder)
	if err != nil {
		return nil, err
	}
	s.process = exec.Command(job.Program, "--config", config) //nolint:noctx // close ends it, in order
	s.process.Stdout, s.process.Stderr = &s.said, &s.said
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start Liftbridge: %w; name its server, built from github.com/liftbridge-io/liftbridge", err)
	}
	s.where.PID = s.process.Process.Pid
	if err := s.awaitReady(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("start Liftbridge: %w; it said: %s", err, strings.TrimSpace(s.said.String()))
	}
	return s, nil
}

// configure writes the configuration and returns its path.
func (s *liftbridgeServer) configure(ctx context.Context, folder string) (path string, err error) {
	var addresses [2]string
	for i := range addresses {
		if addresses[i], err = freeAddress(ctx); err != nil {
			return "", err
		}
	}
	s.where.Addr, s.where.NATS = addresses[0], "nats://"+addresses[1]
	host, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return "", err
	}
	embedded, path := filepath.Join(folder, "nats.conf"), filepath.Join(folder, "liftbridge.yaml")
	lines := []string{
		"listen: " + addresses[0], "host: " + host, "port: " + port, "data.dir: " + filepath.Join(folder, "data"),
		"nats.embedded: true", "nats.embedded.config: " + embedded, `nats.servers: ["` + s.where.NATS + `"]`,
		"clustering.server.id: one", "clustering.raft.bootstrap.seed: true", "",
	}
	if err = os.WriteFile(embedded, []byte("listen: "+addresses[1]+"\n"), 0o600); err == nil {
		err = os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("configure Liftbridge: %w", err)
	}
	return path, nil
}

// freeAddress is a port of loopback that was free a moment ago: Liftbridge takes no port 0.
func freeAddress(ctx context.Context) (string, error) {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// awaitReady asks again and again, and returns the last answer when ctx ends.
func (s *liftbridgeServer) awaitReady(ctx context.Context) error {
	api, err := ConnectLiftbridge(s.where, nil)
	if err != nil {
		return err
	}
	defer api.Close()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		last := api.Ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(last, ctx.Err())
		}
	}
}

// run serves until it is told to end.
func (s *liftbridgeServer) run(ctx context.Context) (Outcome, error) {
	<-ctx.Done()
	return Outcome{Ended: time.Now()}, nil
}

// close ends it as Ctrl-C does, which it knows, and as kill -9 does if that is not enough.
func (s *liftbridgeServer) close() {
	killing := time.AfterFunc(startTime, func() { _ = s.process.Process.Kill() })
	defer killing.Stop()
	_ = s.process.Process.Signal(os.Interrupt) // it may be gone
	_ = s.process.Wait()                       // how it ends is no part of a measurement
}

// StartLiftbridge starts a program that is Liftbridge's server, with a worker to watch it. Close of the worker ends both.
func (c *Crew) StartLiftbridge(ctx context.Context, program, folder string) (*Worker, Server, error) {
	w, err := c.Start(ctx, &Job{Task: TaskServeLiftbridge, Program: program, Folder: folder})
	if err != nil {
		return nil, Server{}, err
	}
	if err := w.Begin(); err != nil {
		return nil, Server{}, err
	}
	return w, w.Serves, nil
}
