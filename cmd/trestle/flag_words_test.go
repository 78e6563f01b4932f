package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestErrorsSpeakOfFlags: what a server says of a field is said of the flag that sets it; what is no flag stays.
func TestErrorsSpeakOfFlags(t *testing.T) {
	t.Parallel()
	flags := newStreamCreateCommand(&invocation{}).Flags()
	for message, want := range map[string]string{
		"max_message_bytes = 9 is not built yet in this version; leave it out":         "--max-message 9 B is not built yet in this version; leave it out",
		"storage = STORAGE_MEMORY is not built yet in this version; leave it out":      "--storage memory is not built yet in this version; leave it out",
		"key_hash = KEY_HASH_CRC32 is for ever":                                        "--hash = KEY_HASH_CRC32 is for ever",
		"retain_messages = 5 cannot be kept; leave out retain_messages or queue_group": "--retain-messages = 5 cannot be kept; leave out --retain-messages or --queue",
		"stream \"my_stream\" has labels.other_thing":                                  "stream \"my_stream\" has labels.other_thing",
		"partitions = 1 is fewer than the 2 that there are, and partitions only grow":  "--partitions = 1 is fewer than the 2 that there are, and partitions only grow",
	} {
		answer := &client.Error{Reason: "INVALID_ARGUMENT", Message: message, Names: map[string]string{"field": strings.Fields(message)[0]}}
		if got := inFlagWords(flags, answer); got.Error() != want || !errors.Is(got, error(answer)) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := inFlagWords(flags, os.ErrClosed); !errors.Is(got, os.ErrClosed) || got.Error() != os.ErrClosed.Error() {
		t.Errorf("got %v of an error that is no answer", got)
	}
}

// TestDataFolderIsAFile: what stands in the way is named, and what to do.
func TestDataFolderIsAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below", "it")} {
		err := checkDataDir(path)
		m, ok := errors.AsType[*misuse](err)
		if !ok || !strings.Contains(m.message, path+": "+file+" is a file") || !strings.Contains(m.remedy, "--data-dir") {
			t.Errorf("%s: got %v", path, err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "new", "one"), "new"} {
		if err := checkDataDir(path); err != nil {
			t.Errorf("%s: got %v, want that it can be made", path, err)
		}
	}
}
