package web_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/trestlehq/trestle/server/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A broker that has failed lives and is not ready, and says why.
func TestHealth(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		why  error
		path string
		code int
		body string
	}{
		"lives":                {nil, "/livez", http.StatusOK, "ok"},
		"is ready":             {nil, "/readyz", http.StatusOK, "ok"},
		"lives though failed":  {errors.New("disk gone"), "/livez", http.StatusOK, "ok"},
		"is not ready":         {errors.New("disk gone"), "/readyz", http.StatusServiceUnavailable, "disk gone"},
		"knows no other paths": {nil, "/metrics", http.StatusNotFound, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := web.Serve(listener, func() error { return test.why })
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
