package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/server/servertest"
)

// writeFile writes a file of the test and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfSigned are the files of a certificate that is its own authority, and of its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	c := servertest.SelfSigned(t, t.TempDir())
	return c.CertFile, c.KeyFile
}

// TestConfigPrecedence: a flag goes before the environment, the environment before the file, the file before the default
// (interfaces.md §1).
func TestConfigPrecedence(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "trestle.yaml", "id: file\ncluster: file\ndata-dir: /file\nnats:\n  listen: 127.0.0.1:5000\n")
	got := call(t, []string{"TRESTLE_CLUSTER=env", "TRESTLE_DATA_DIR=/env", "TRESTLE_CONFIG=" + file}, words("config print -o json --data-dir /flag")...)
	if got.code != exitDone {
		t.Fatalf("got %+v", got)
	}
	settings := decodeLine(t, got.stdout)
	for key, want := range map[string]map[string]any{
		"data-dir":    {"value": "/flag", "from": "flag"},
		"cluster":     {"value": "env", "from": "environment TRESTLE_CLUSTER"},
		"id":          {"value": "file", "from": "file " + file},
		"nats.listen": {"value": "127.0.0.1:5000", "from": "file " + file},
		"listen":      {"value": "127.0.0.1:9292", "from": "default"},
	} {
		if diff := cmp.Diff(any(want), settings[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}

// TestConfigPrintsAFile: what config print prints is a file that says the same, and no password is in it.
func TestConfigPrintsAFile(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	for _, flags := range []string{
		"", "--id a --insecure --listen 0.0.0.0:1 --capture-bytes 1GiB", "--nats nats://a:4222,tls://b:4222", "--tls-cert " + cert + " --tls-key " + key + " --tls-ca " + cert,
	} {
		first := call(t, nil, words("config print "+flags)...)
		second := call(t, nil, "config", "print", "--config", writeFile(t, "trestle.yaml", first.stdout))
		if first.code != exitDone || second.code != exitDone {
			t.Fatalf("%q: got %+v, then %+v", flags, first, second)
		}
		if diff := cmp.Diff(withoutOrigins(first.stdout), withoutOrigins(second.stdout)); diff != "" {
			t.Errorf("%q (-first +second):\n%s", flags, diff)
		}
	}
	if got := call(t, nil, words("config print --nats nats://user:hunter2@a:4222")...); strings.Contains(got.stdout, "hunter2") || got.code != exitDone {
		t.Errorf("got %+v, want no password", got)
	}
}

func withoutOrigins(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " # ")
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}

// TestConfigRefused: what cannot be is misuse, with a sentence that names it and says what to do.
func TestConfigRefused(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	for name, c := range map[string]struct {
		file, flags string
		env         []string
		want        []string
	}{
		"unknown key":           {file: "lisen: 127.0.0.1:1", want: []string{`no setting "lisen"`, "listen"}},
		"unknown key, far":      {file: "colour: red", want: []string{`no setting "colour"`}},
		"unknown key in group":  {file: "nats:\n  lisen: 127.0.0.1:1", want: []string{`"nats.lisen"`, "nats.listen"}},
		"underscore":            {file: "data_dir: /x", want: []string{`"data_dir"`, "data-dir"}},
		"group with a value":    {file: "nats: nats://a:4222", want: []string{`"nats" is a group`}},
		"no value":              {file: "id:", want: []string{"id: it has no value"}},
		"not YAML":              {file: "a: b: c", want: []string{"not YAML"}},
		"twice":                 {file: "id: a\nid: b", want: []string{"not YAML", "id"}},
		"a map":                 {file: "id: {a: b}", want: []string{`"id.a"`}},
		"a bad value":           {file: "insecure: perhaps", want: []string{"insecure", `"perhaps"`}},
		"a bad address":         {file: "http: nowhere", want: []string{"--http", "HOST:PORT"}},
		"no such file":          {flags: "--config /nowhere/trestle.yaml", want: []string{"/nowhere/trestle.yaml", "no such file"}},
		"both NATS":             {file: "nats: {urls: [nats://a:4222], listen: 127.0.0.1:0}", want: []string{"exclude each other"}},
		"creds without NATS":    {flags: "--nats-creds x", want: []string{"--nats-creds", "--nats URL"}},
		"no such creds":         {flags: "--nats nats://a:1 --nats-creds /nowhere", want: []string{"--nats-creds", "/nowhere"}},
		"not a URL":             {flags: "--nats a:4222", want: []string{`"a:4222"`, "nats://HOST:PORT"}},
		"cert without key":      {flags: "--tls-cert " + cert, want: []string{"--tls-cert and --tls-key belong together"}},
		"CA without cert":       {flags: "--tls-ca " + cert, want: []string{"--tls-ca", "--tls-cert"}},
		"key is no key":         {flags: "--tls-cert " + cert + " --tls-key " + cert, want: []string{"--tls-key", "PEM"}},
		"CA is no certificate":  {flags: "--tls-cert " + cert + " --tls-key " + key + " --tls-ca " + key, want: []string{"--tls-ca", "no certificate"}},
		"NATS cert, no key":     {flags: "--nats nats://a:1 --nats-tls-cert " + cert, want: []string{"--nats-tls-cert and --nats-tls-key"}},
		"beyond, in the clear":  {file: "listen: 0.0.0.0:0", want: []string{"--listen 0.0.0.0:0", "--tls-cert", "--insecure"}},
		"peer has no TLS":       {flags: "--peer 0.0.0.0:0 --tls-cert " + cert + " --tls-key " + key, want: []string{"--peer 0.0.0.0:0", "no TLS yet", "--insecure"}},
		"advertise nothing":     {flags: "--advertise :9292", want: []string{"--advertise", "HOST:PORT"}},
		"little to capture in":  {file: "capture: {bytes: 64KiB}", want: []string{"--capture-bytes 65536", "1MiB or more"}},
		"none, in the env":      {env: []string{"TRESTLE_CAPTURE_BYTES=0"}, want: []string{"--capture-bytes 0", "1MiB or more"}},
		"no size":               {flags: "--capture-bytes much", want: []string{"--capture-bytes", "not a size"}},
		"join":                  {flags: "--join a:9294", want: []string{"--join", "not built yet"}},
		"join in the env":       {env: []string{"TRESTLE_JOIN=a:9294"}, want: []string{"TRESTLE_JOIN", "not built yet"}},
		"bootstrap in the file": {file: "bootstrap-expect: 3", want: []string{"--bootstrap-expect", "not built yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := words("config validate " + c.flags)
			if c.file != "" {
				args = append(args, "--config", writeFile(t, "trestle.yaml", c.file))
			}
			got := call(t, c.env, args...)
			if got.code != exitMisuse || got.stdout != "" {
				t.Fatalf("got %+v, want misuse", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("got %q, want %q in it", got.stderr, want)
				}
			}
		})
	}
}

// TestConfigFine: what is allowed, beyond loopback with TLS among it.
func TestConfigFine(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	withTLS := "--tls-cert " + cert + " --tls-key " + key
	for _, flags := range []string{
		"", "--listen 0.0.0.0:0 --http :0 " + withTLS, "--listen 0.0.0.0:0 --insecure", "--advertise trestle-0.example:9292", "--capture-bytes 1MiB",
		"--nats tls://a:4222 --nats-creds " + key + " --nats-tls-ca " + cert + " --nats-tls-cert " + cert + " --nats-tls-key " + key,
	} {
		if got := call(t, nil, words("config validate "+flags)...); got.code != exitDone || got.stdout != "the settings are fine\n" {
			t.Errorf("%q: got %+v", flags, got)
		}
	}
}
