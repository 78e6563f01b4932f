package ordeal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/server/servertest"
)

// secret is what nobody but the NATS may get to see.
const secret = "S3cret-of-Ordeal"

// TestSecuredNATS uses a NATS that asks who one is: with a password, with credentials, over TLS with certificates on both sides.
// A server that proves who it is captures and acknowledges; one that does not ends with code 1 and says what to do, or with 2
// where it need not ask (interfaces.md §1); passwords are shown to nobody.
func TestSecuredNATS(t *testing.T) {
	program := built.Path(t)
	authority := servertest.SelfSigned(t, t.TempDir())
	ofNATS, ours := authority.Sign(t, t.TempDir()), authority.Sign(t, t.TempDir())
	password := fmt.Sprintf("authorization { user: trestle, password: %q }\n", secret)
	accounts, err := filepath.Abs("testdata/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	credentials := fmt.Sprintf("include %q\n", filepath.Base(accounts))
	encrypted := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", ofNATS.CertFile, ofNATS.KeyFile, authority.CertFile)
	known := []string{"--nats-tls-ca", authority.CertFile, "--nats-tls-cert", ours.CertFile, "--nats-tls-key", ours.KeyFile}
	user := []string{"--nats-creds", "testdata/user.creds"}
	for _, c := range []struct {
		name, config, login string
		tls                 bool
		flags               []string
		says                string // what its complaint names; empty: it works
		code                int    // of its end
	}{
		{"password", password, "trestle:" + secret + "@", false, nil, "", 0},
		{"wrong password", password, "trestle:" + secret + "2@", false, nil, "--nats", 1},
		{"no password", password, "", false, nil, "--nats", 1},
		{"credentials", credentials, "", false, user, "", 0},
		{"credentials of a stranger", credentials, "", false, []string{"--nats-creds", "testdata/stranger.creds"}, "--nats-creds", 1},
		{"credentials that are not there", credentials, "", false, []string{"--nats-creds", "testdata/nobody.creds"}, "nobody.creds", 2},
		{"certificates", encrypted, "", true, known, "", 0},
		{"certificates and credentials", encrypted + credentials, "", true, append(user, known...), "", 0},
		{"no certificate", encrypted, "", true, known[:2], "--nats-tls-cert", 1},
		{"unknown authority", encrypted, "", true, known[2:], "--nats-tls-ca", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
			defer cancel()
			address := startSecuredNATS(ctx, t, accounts, c.config)
			scheme := map[bool]string{false: "nats://", true: "tls://"}[c.tls]
			flags := append([]string{"--nats", scheme + c.login + address}, c.flags...)
			if c.says != "" {
				wantRefusal(ctx, t, program, c.code, c.says, flags)
				return
			}
			b := launch(t, program, t.TempDir(), flags...)
			b.captureAndAcknowledge(ctx, b.connectSecurely(scheme+c.login+address, c.flags))
			info, err := b.client.Server(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if shown := fmt.Sprint(info, b.server.NATS, b.server.Log()); strings.Contains(shown, secret) {
				t.Errorf("the password is shown: %s", shown)
			}
		})
	}
}

// startSecuredNATS starts a NATS server with that configuration and returns its address.
func startSecuredNATS(ctx context.Context, t *testing.T, accounts, config string) string {
	t.Helper()
	dir := t.TempDir()
	included, err := os.ReadFile(accounts)
	if err != nil {
		t.Fatal(err)
	}
	address := servertest.FreeAddress(t)
	for name, text := range map[string][]byte{
		filepath.Base(accounts): included, "nats.conf": fmt.Appendf(nil, "listen: %q\n%s", address, config),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := startRole(t, "nats", filepath.Join(dir, "nats.conf")).FirstLine(ctx); err != nil {
		t.Fatal(err)
	}
	return address
}

// wantRefusal wants a server to end by itself, soon, with that code and one sentence that names the remedy and no password.
func wantRefusal(ctx context.Context, t *testing.T, program string, code int, remedy string, flags []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	p, err := servertest.StartServer(program, t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Wait(ctx); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("exit status %d\n", code)) {
		t.Errorf("got %v, want exit status %d", err, code)
	}
	if said := p.Log(); !strings.Contains(said, remedy) || strings.Contains(said, secret) {
		t.Errorf("it says nothing of %s, or the password:\n%s", remedy, said)
	}
	t.Log(strings.TrimSpace(p.Log()))
}

// connectSecurely connects a publisher with what the server got.
func (b *broker) connectSecurely(url string, flags []string) *nats.Conn {
	b.t.Helper()
	files := map[string]string{}
	for i := 0; i+1 < len(flags); i += 2 {
		files[flags[i]] = flags[i+1]
	}
	options := []nats.Option{nats.Timeout(readyLimit)}
	if file := files["--nats-creds"]; file != "" {
		options = append(options, nats.UserCredentials(file))
	}
	if file := files["--nats-tls-ca"]; file != "" {
		options = append(options, nats.RootCAs(file), nats.ClientCert(files["--nats-tls-cert"], files["--nats-tls-key"]))
	}
	c, err := nats.Connect(url, options...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// captureAndAcknowledge publishes a plain message, and one that asks for an ack, and wants both stored and the ack.
func (b *broker) captureAndAcknowledge(ctx context.Context, c *nats.Conn) {
	b.t.Helper()
	s, err := b.client.CreateStream(ctx, client.StreamConfig{Name: "safe", Subjects: []string{"safe"}})
	if err != nil {
		b.t.Fatal(err)
	}
	acks, err := c.SubscribeSync(nats.NewInbox())
	if err != nil {
		b.t.Fatal(err)
	}
	frame, err := (&envelope.Message{Value: []byte("asks"), AckInbox: []byte(acks.Subject), AckPolicy: envelope.AckAll}).Marshal()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, payload := range [][]byte{[]byte("plain"), frame} {
		if err := c.Publish("safe", payload); err != nil {
			b.t.Fatal(err)
		}
	}
	m, err := acks.NextMsgWithContext(ctx)
	if err != nil {
		b.t.Fatalf("no ack: %v", err)
	}
	ack, err := envelope.ParseAck(m.Data)
	if err != nil || ack.Err() != nil || ack.Offset != 1 {
		b.t.Errorf("ack %+v, %v; want offset 1", ack, err)
	}
	messages, err := readAll(ctx, s)
	if err != nil || len(messages) != 2 || string(messages[0].Value) != "plain" || string(messages[1].Value) != "asks" {
		b.t.Errorf("stored %+v, %v", messages, err)
	}
}
