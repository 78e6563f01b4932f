package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogInspectNamesTheStream: of a folder that says whose it is, and of one that does not.
func TestLogInspectNamesTheStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log0")
	if err := os.CopyFS(log, os.DirFS(filepath.Join("..", "..", "commitlog", "testdata", "v1", "sealed-and-active"))); err != nil {
		t.Fatal(err)
	}
	inspect := func(args ...string) string {
		var out, errOut strings.Builder
		if code := run(t.Context(), append([]string{"log", "inspect", dir}, args...), strings.NewReader(""), &out, &errOut, nil); code != exitDone {
			t.Fatalf("exit %d, %s", code, &errOut)
		}
		return out.String()
	}
	if got := inspect(); !strings.HasPrefix(got, log+"\n") {
		t.Errorf("got %q of a folder without a meta.json", got)
	}
	if got := inspect("-o", "json"); strings.Contains(got, `"stream"`) {
		t.Errorf("got %q of a folder without a meta.json", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "meta.json"), []byte(`{"format":1,"stream":"orders","partition":3,"config":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := inspect(); !strings.HasPrefix(got, log+": partition 3 of stream orders\n") {
		t.Errorf("got %q, want the partition and the stream", got)
	}
	if got := inspect("-o", "json"); strings.Count(got, `,"stream":"orders","partition":3}}`) != 2 {
		t.Errorf("got %q, want the stream and the partition of both segments", got)
	}
}
