// Package web answers over HTTP: whether the broker lives and is ready, and what it measures.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config of a Server.
type Config struct {
	// Live says why the broker is of no use any more and has to be started anew, Ready why it does not capture and serve for
	// now; nil: it is and does. They are called for each request.
	Live, Ready func() error
	Metrics     http.Handler
	// NeedsCertificate says that metrics are for those only who have shown a certificate. Probes never need one.
	NeedsCertificate bool
	Logger           *slog.Logger
}

// Server is the HTTP server of a broker.
type Server struct {
	http *http.Server
	done chan error
}

// Serve answers on the listener until Shutdown.
func Serve(listener net.Listener, config Config) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, config.Live()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, config.Ready()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if config.NeedsCertificate && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
			http.Error(w, "metrics are for those who show a certificate that --tls-ca believes", http.StatusForbidden)
			return
		}
		config.Metrics.ServeHTTP(w, r)
	})
	s := &Server{
		http: &http.Server{
			Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
			ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug), // of what clients did wrong
		},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok") // the one who asked is gone: nothing to do
}

// Shutdown waits for requests that are under way until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if serve := <-s.done; !errors.Is(serve, http.ErrServerClosed) {
		err = errors.Join(err, serve)
	}
	return err
}
