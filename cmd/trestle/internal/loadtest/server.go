package loadtest

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Server is one that is put under load.
type Server struct {
	Addr string `json:"addr,omitempty"` // HOST:PORT of gRPC; empty: it has none
	NATS string `json:"nats,omitempty"` // URL
	HTTP string `json:"-"`              // HOST:PORT of its metrics; empty: not asked
	PID  int    `json:"pid,omitempty"`  // 0: it runs elsewhere, or nobody knows where
}

// Usage is what a server has used during a measurement. What is not known is 0.
type Usage struct {
	CPU         time.Duration
	PeakMemory  int64 // bytes
	Allocations int64 // on its heap
}

// meter measures the usage of a server from when it was made.
type meter struct {
	server      *Server
	cpu         time.Duration
	allocations int64
	known       bool
}

func (s *Server) meter(ctx context.Context) *meter {
	m := &meter{server: s}
	m.allocations, _ = s.allocations(ctx) // 0: not known, and neither will be the difference
	if s.PID != 0 {
		cpu, err := processTime(s.PID)
		m.cpu, m.known = cpu, err == nil
		forgetPeak(s.PID)
	}
	return m
}

func (m *meter) usage(ctx context.Context) (u Usage) {
	if m.known {
		if cpu, err := processTime(m.server.PID); err == nil {
			u.CPU = cpu - m.cpu
		}
		u.PeakMemory, _ = peakMemory(m.server.PID)
	}
	if n, err := m.server.allocations(ctx); err == nil && m.allocations > 0 {
		u.Allocations = n - m.allocations
	}
	return u
}

// allocations are those of a server of ours since it began, as its metrics say.
func (s *Server) allocations(ctx context.Context) (int64, error) {
	const name = "go_memstats_mallocs_total "
	if s.HTTP == "" {
		return 0, fmt.Errorf("the server has no metrics")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("read the metrics at %s: %w", s.HTTP, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the metrics at %s: %w", s.HTTP, err)
	}
	defer func() { _ = answer.Body.Close() }() // all that is wanted was read
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name); ok {
			n, err := strconv.ParseFloat(text, 64)
			return int64(n), err
		}
	}
	return 0, fmt.Errorf("the metrics at %s have no %s", s.HTTP, name)
}
