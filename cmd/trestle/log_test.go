package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The golden segments of commitlog are read as they are; a flipped byte in one is found.
func TestLogVerify(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("..", "..", "commitlog", "testdata", "v1")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	verify := func(args ...string) (int, string) {
		var out, errOut strings.Builder
		code := run(t.Context(), append([]string{"log"}, args...), strings.NewReader(""), &out, io.MultiWriter(&errOut), nil)
		return code, out.String() + errOut.String()
	}
	if code, out := verify("verify", dir); code != exitDone || !strings.Contains(out, "1,232 records") || !strings.Contains(out, "torn end") {
		t.Errorf("golden segments: exit %d, %s", code, out)
	}
	if code, out := verify("inspect", dir, "--batches", "-o", "json"); code != exitDone || strings.Count(out, `"batch":{`) != 27 {
		t.Errorf("inspect: exit %d, %s", code, out)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "sealed-and-active", "*.seg"))
	if err != nil || len(segments) != 2 {
		t.Fatal(segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[1000] ^= 4
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := verify("verify", dir); code != exitFailed || !strings.Contains(out, "byte 946") {
		t.Errorf("flipped byte: exit %d, %s", code, out)
	}
	if code, out := verify("verify", filepath.Join(dir, "nope")); code != exitFailed || !strings.Contains(out, "no folder") {
		t.Errorf("missing folder: exit %d, %s", code, out)
	}
}
