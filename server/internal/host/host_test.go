package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/host"
)

func open(dir, broker, cluster string) (*host.Folder, error) {
	return host.OpenFolder(vfs.OS(), dir, broker, "fallback", cluster)
}

// A data folder is opened by whom it belongs to and by one process at a time; each refusal says what to do.
func TestOpenFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	f, err := open(dir, "", "c")
	if err != nil {
		t.Fatal(err)
	}
	if f.Broker != "fallback" || f.Storage == "" {
		t.Errorf("identity: %+v", f.Identity)
	}
	if _, err := open(dir, "", "c"); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second process: got %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := open(dir, "fallback", "c")
	if err != nil || again.Storage != f.Storage {
		t.Fatalf("opened again: %+v, %v", again, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(dir, "another", "c"); err == nil || !strings.Contains(err.Error(), "--id") {
		t.Errorf("another broker: got %v", err)
	}
	if _, err := open(dir, "", "other"); err == nil || !strings.Contains(err.Error(), "--cluster c") {
		t.Errorf("another cluster: got %v", err)
	}
	for contents, want := range map[string]string{
		`{"format":99,"broker":"fallback","cluster":"c"}`: "format 99",
		`{"format":`: "damaged",
	} {
		if err := os.WriteFile(filepath.Join(dir, "trestle.json"), []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(dir, "", "c"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", contents, err, want)
		}
	}
}

// Whatever a crash at any operation leaves of making a folder, it can be opened, and its identity, once told, stays.
func TestOpenFolderCrashes(t *testing.T) {
	t.Parallel()
	for at := range 60 {
		disk := vfs.NewMem(uint64(at))
		n := 0
		var crashed *vfs.Mem
		disk.OnOp(func(vfs.Op) error {
			if n++; n == at+1 {
				crashed = disk.CrashClone(vfs.KeepRandom)
			}
			return nil
		})
		f, err := host.OpenFolder(disk, "/data", "b", "", "c")
		if err != nil {
			t.Fatal(err)
		}
		if crashed == nil {
			crashed = disk.CrashClone(vfs.KeepNone) // all that was promised is durable
			g, err := host.OpenFolder(crashed, "/data", "b", "", "c")
			if err != nil || g.Storage != f.Storage {
				t.Fatalf("after all %d operations: %v, %v", n, g, err)
			}
			return
		}
		if _, err := host.OpenFolder(crashed, "/data", "b", "", "c"); err != nil {
			t.Fatalf("crash before operation %d: %v", at+1, err)
		}
	}
	t.Fatal("opening a folder takes more than 60 operations")
}

// In a folder of a later format, or of another broker, nothing is written.
func TestOpenFolderOfOthers(t *testing.T) {
	t.Parallel()
	for name, identity := range map[string]string{
		"a later format": `{"format": 3, "broker": "b", "cluster": "c"}`, "another broker": `{"format": 2, "broker": "x", "cluster": "c"}`, "damaged": "{",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "trestle.json"), []byte(identity), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(dir, "b", "c"); err == nil {
			t.Errorf("%s: it was opened", name)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 {
			t.Errorf("%s: there is %v, %v", name, files, err)
		}
	}
}
