// Package cmd_test holds the rules of the house that no single package can hold: which package may import which, what
// packages and files may be called, what lies at the top of the repository. The linter's depguard says the same of
// imports (.golangci.yml); here it is held for whoever runs the tests, and through any number of packages.
package cmd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/trestlehq/trestle"

// arrow says what some packages must not import. Patterns are import paths, or import paths ending in "/..." for a
// package and all below it; "./" stands for the module, and anything for all that is not standard library.
type arrow struct {
	name   string
	from   []string
	not    []string // packages of from that are free to
	forbid []string
	except []string // packages of forbid that are allowed
	direct bool     // counts only what the packages import themselves, not what that brings along
	why    string
}

const (
	anything = "..."
	grpc     = "google.golang.org/grpc/..."
	nats     = "github.com/nats-io/..."
)

func arrows() []arrow {
	return slices.Concat(foundationArrows(), clientArrows(), serverArrows(), everywhereArrows())
}

func foundationArrows() []arrow {
	return []arrow{{
		name: "batch", from: []string{"./proto/batch/..."}, forbid: []string{anything}, except: []string{"./proto/batch/..."},
		why: "the bytes of a batch are written by hand: log, server and client share them at no cost",
	}, {
		name: "proto", from: []string{"./proto/..."}, forbid: []string{"./..."}, except: []string{"./proto/..."},
		why: "proto is the floor of the house",
	}, {
		name: "vfs", from: []string{"./commitlog/vfs/..."}, forbid: []string{anything}, except: []string{"./commitlog/vfs/..."},
		why: "the file seam is the standard library's files and nothing else",
	}, {
		name: "commitlog", from: []string{"./commitlog/..."}, forbid: []string{anything},
		except: []string{"./commitlog/...", "./proto/batch/..."},
		why:    "the log knows no NATS, gRPC, raft or protobuf runtime",
	}, {
		name: "commitlog is silent", from: []string{"./commitlog/..."}, forbid: []string{"log/...", "net/..."},
		why: "the log knows files only and returns errors instead of logging them",
	}, {
		name: "metadata", from: []string{"./metadata/..."}, forbid: []string{"./..."},
		except: []string{"./metadata/...", "./proto/..."},
		why:    "cluster state stands on proto alone",
	}, {
		// Direct: the generated code of the messages brings gRPC along with the services beside them.
		name: "metadata without statuses", from: []string{"./metadata/..."}, forbid: []string{grpc}, direct: true,
		why: "metadata returns domain errors; one table in server/internal/rpc maps them",
	}, {
		name: "metadata without NATS", from: []string{"./metadata/..."}, forbid: []string{nats},
		why: "no NATS client may be able to forge the cluster's state",
	}, {
		name: "metadata leaves", from: []string{"./metadata/names/...", "./metadata/keyhash/..."},
		forbid: []string{"./...", "github.com/hashicorp/...", "google.golang.org/..."},
		except: []string{"./metadata/names/...", "./metadata/keyhash/..."},
		why:    "pure leaves, which clients use as well",
	}}
}

func clientArrows() []arrow {
	return []arrow{{
		name: "envelope", from: []string{"./envelope/..."}, forbid: []string{"./...", grpc},
		except: []string{"./envelope/..."},
		why:    "envelope is for publishers that have nothing else of ours",
	}, {
		name: "client", from: []string{"./client/..."}, forbid: []string{"./...", nats},
		except: []string{"./client/...", "./proto/...", "./metadata/names/...", "./metadata/keyhash/..."},
		why:    "the client stands alone and speaks gRPC",
	}, {
		name: "client without Liftbridge", from: []string{"./client/...", "./envelope/..."},
		forbid: []string{"./proto/liftbridge/..."},
		why:    "its package proto cannot be linked beside another Liftbridge client",
	}}
}

func serverArrows() []arrow {
	faces := []string{
		"./server/internal/rpc/...", "./server/internal/liftbridge/...",
		"./server/internal/web/...", "./server/internal/peer/...",
	}
	return []arrow{{
		name: "replication", from: []string{"./server/internal/replication/..."}, forbid: []string{anything},
		except: []string{"./server/internal/replication/...", "./commitlog/...", "./proto/batch/..."},
		why:    "replication is arithmetic on its inputs; of the log it takes what a position is",
	}, {
		// Direct: the package that says what a position is does I/O.
		name: "pure cores",
		from: []string{
			"./server/internal/replication/...", "./server/internal/shadow/...", "./server/internal/dedup/...", "./metadata/election/...",
		},
		forbid: []string{"context/...", "log/...", "net/...", "os/...", "sync/..."}, except: []string{"sync/atomic"}, direct: true,
		why: "no I/O and no waiting: their owners do that, lock and log",
	}, {
		name: "server rooms", from: []string{"./server/internal/..."},
		forbid: []string{"./server", "./server/servertest/...", "./client/..."},
		why:    "the server wires the rooms together; a broker is no client of itself",
	}, {
		name: "below the faces", from: []string{"./server/internal/..."}, not: faces, forbid: faces,
		why: "faces look down; what they need below is an interface of theirs",
	}, {
		name: "below the host",
		from: []string{
			"./server/internal/group/...", "./server/internal/cursor/...", "./server/internal/partition/...",
			"./server/internal/capture/...", "./server/internal/fanout/...",
		},
		forbid: []string{"./server/internal/host/..."},
		why:    "the host opens and closes them; they do not know it",
	}, {
		name: "rooms without statuses",
		from: []string{
			"./server/internal/group/...", "./server/internal/cursor/...", "./server/internal/partition/...",
			"./server/internal/capture/...", "./server/internal/fanout/...",
		},
		forbid: []string{grpc}, direct: true,
		why: "domain errors, not statuses; one table in server/internal/rpc maps them",
	}}
}

func everywhereArrows() []arrow {
	return []arrow{{
		name: "NATS", from: []string{"./..."},
		not: []string{
			"./cmd/...", "./server", "./server/servertest/...",
			"./server/internal/capture/...", "./server/internal/fanout/...",
		},
		forbid: []string{nats}, direct: true,
		why: "NATS comes in by server/internal/capture and goes out by server/internal/fanout",
	}, {
		name: "commands", from: []string{"./..."}, forbid: []string{"./cmd/..."}, except: []string{"./cmd/trestle/internal/..."},
		why: "nothing imports a command; its inner rooms are its own, which Go sees to",
	}, {
		name: "tests only", from: []string{"./..."}, not: []string{"./server/servertest/..."},
		forbid: []string{
			"testing/...", "github.com/google/go-cmp/...", "go.uber.org/goleak/...", "pgregory.net/rapid/...",
			"github.com/anishathalye/porcupine/...", "./server/servertest/...",
		},
		direct: true,
		why:    "what tests are written with does not ship",
	}}
}

func TestArrows(t *testing.T) {
	t.Parallel()
	house := listPackages(t)
	var held int
	for _, a := range arrows() {
		if !slices.ContainsFunc(house.own, a.binds) {
			continue // a room that does not exist yet
		}
		held++
		t.Run(strings.ReplaceAll(a.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for _, chain := range house.violations(a) {
				t.Errorf("%s\n\tmust not be: %s", strings.Join(chain, "\n\t  imports "), a.why)
			}
		})
	}
	if held == 0 {
		t.Errorf("none of the arrows binds any of the packages %q", house.own)
	}
}

func TestPackageAndFileNames(t *testing.T) {
	t.Parallel()
	empty := []string{"util", "utils", "common", "helper", "helpers", "base", "types", "manager", "impl"}
	house := listPackages(t)
	for _, importPath := range house.own {
		p := house.packages[importPath]
		if slices.Contains(empty, path.Base(importPath)) || slices.Contains(empty, strings.TrimSuffix(p.Name, "_test")) {
			t.Errorf("package %s (%s): name it after what it holds", p.Name, importPath)
		}
		for _, file := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			name := strings.TrimSuffix(strings.TrimSuffix(file, ".go"), "_test")
			if slices.Contains(empty, name) {
				t.Errorf("file %s of %s: name it after what it holds", file, importPath)
			}
		}
	}
}

func TestTopOfRepository(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"LICENSE", "Makefile", "README.md", "client", "cmd", "commitlog", "docker", "envelope", "go.mod", "go.sum",
		"metadata", "proto", "server",
	}
	if _, err := os.Stat(filepath.Join("..", ".git")); errors.Is(err, os.ErrNotExist) {
		t.Skip("not a git checkout: nothing says what belongs to the repository")
	}
	listed := output(t, "git", "ls-files", "-z")
	if len(listed) == 0 {
		t.Skip("nothing is committed yet")
	}
	var top []string
	for file := range strings.SplitSeq(strings.TrimSuffix(string(listed), "\x00"), "\x00") {
		entry, _, _ := strings.Cut(file, "/")
		top = append(top, entry)
	}
	slices.Sort(top)
	for _, entry := range slices.Compact(top) {
		if !strings.HasPrefix(entry, ".") && !slices.Contains(allowed, entry) {
			t.Errorf("%s lies at the top of the repository, where only %q and dotfiles belong", entry, allowed)
		}
	}
}

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath   string
	Name         string
	Standard     bool
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// house is the import graph of the module: its own packages, sorted, and those with all that they import.
type house struct {
	own      []string
	packages map[string]goPackage
}

func listPackages(t *testing.T) house {
	t.Helper()
	openFolders(t)
	h := house{packages: map[string]goPackage{}}
	listed := json.NewDecoder(bytes.NewReader(output(t, "go", "list", "-deps",
		"-json=ImportPath,Name,Standard,Imports,GoFiles,TestGoFiles,XTestGoFiles", "./...")))
	for {
		var p goPackage
		if err := listed.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("decoding what go list printed: %v", err)
		}
		h.packages[p.ImportPath] = p
		if matches("./...", p) {
			h.own = append(h.own, p.ImportPath)
		}
	}
	slices.Sort(h.own)
	return h
}

// openFolders opens every folder of the module. What a test opens is what `go test` compares before it reports a result
// from its cache, and it does not see what go list opens.
func openFolders(t *testing.T) {
	t.Helper()
	if err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && len(entry.Name()) > 2 && entry.Name()[0] == '.' {
			return fs.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// violations returns the chains of imports by which packages bound by the arrow reach forbidden ones, one chain for each
// package that imports a forbidden one. Of the standard library only what our own packages import themselves counts:
// fmt brings os along for everyone.
func (h house) violations(a arrow) [][]string {
	var found [][]string
	seen := map[string]bool{}
	var queue [][]string
	for _, importPath := range h.own {
		if a.binds(importPath) {
			seen[importPath] = true
			queue = append(queue, []string{importPath})
		}
	}
	for len(queue) > 0 {
		chain := queue[0]
		queue = queue[1:]
		importer := h.packages[chain[len(chain)-1]]
		for _, importPath := range importer.Imports {
			p := h.packages[importPath]
			if p.Standard && !matches("./...", importer) {
				continue
			}
			longer := append(slices.Clone(chain), importPath)
			switch {
			case a.forbids(p):
				found = append(found, longer)
			case !a.direct && !p.Standard && !seen[importPath]:
				seen[importPath] = true
				queue = append(queue, longer)
			}
		}
	}
	return found
}

func (a arrow) binds(importPath string) bool {
	p := goPackage{ImportPath: importPath}
	return matchesAny(a.from, p) && !matchesAny(a.not, p)
}

func (a arrow) forbids(p goPackage) bool {
	return matchesAny(a.forbid, p) && !matchesAny(a.except, p)
}

func matchesAny(patterns []string, p goPackage) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p) })
}

func matches(pattern string, p goPackage) bool {
	if pattern == anything {
		return !p.Standard
	}
	if rest, ok := strings.CutPrefix(pattern, "./"); ok {
		pattern = path.Join(module, rest)
	}
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p.ImportPath == root || strings.HasPrefix(p.ImportPath, root+"/")
	}
	return p.ImportPath == pattern
}

// output runs a command at the top of the repository and returns what it prints.
func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = ".."
	var said strings.Builder
	command.Stderr = &said
	printed, err := command.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &said))
	}
	return printed
}
