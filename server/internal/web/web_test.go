package web_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/trestlehq/trestle/server/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A broker says whether it lives, whether it is ready, and why not; metrics are not for those who should have shown a
// certificate.
func TestAnswers(t *testing.T) {
	t.Parallel()
	gone := errors.New("disk gone")
	for name, test := range map[string]struct {
		live, ready      error
		needsCertificate bool
		path             string
		code             int
		body             string
	}{
		"lives":                   {path: "/livez", code: http.StatusOK, body: "ok"},
		"is ready":                {path: "/readyz", code: http.StatusOK, body: "ok"},
		"lives though not ready":  {ready: gone, path: "/livez", code: http.StatusOK, body: "ok"},
		"is not ready":            {ready: gone, path: "/readyz", code: http.StatusServiceUnavailable, body: "disk gone"},
		"does not live":           {live: gone, ready: gone, path: "/livez", code: http.StatusServiceUnavailable, body: "disk gone"},
		"measures":                {path: "/metrics", code: http.StatusOK, body: "measured"},
		"measures not for all":    {needsCertificate: true, path: "/metrics", code: http.StatusForbidden, body: "--tls-ca"},
		"lives, to say it to all": {needsCertificate: true, path: "/livez", code: http.StatusOK, body: "ok"},
		"knows no other paths":    {path: "/", code: http.StatusNotFound, body: "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := web.Serve(listener, web.Config{
				Live: func() error { return test.live }, Ready: func() error { return test.ready }, NeedsCertificate: test.needsCertificate, Logger: slog.New(slog.DiscardHandler),
				Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "measured") }),
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err := errors.Join(err, res.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.code || !strings.Contains(string(body), test.body) {
				t.Errorf("got %d %q", res.StatusCode, body)
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
