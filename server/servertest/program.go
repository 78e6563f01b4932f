package servertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Program is the program trestle, compiled once for all tests of a package. The zero value is ready for use.
type Program struct {
	once sync.Once
	dir  string
	path string
	said []byte // by the compiler
	err  error
}

// Path is the path of the program. The first call compiles it, and the others wait.
func (p *Program) Path(t testing.TB) string {
	t.Helper()
	p.once.Do(func() { p.build(context.WithoutCancel(t.Context())) }) // the other tests need it as well
	if p.err != nil {
		t.Fatalf("building the program: %v\n%s", p.err, p.said)
	}
	return p.path
}

func (p *Program) build(ctx context.Context) {
	if p.dir, p.err = os.MkdirTemp("", "trestle-built-"); p.err != nil {
		return
	}
	p.path = filepath.Join(p.dir, "trestle")
	p.said, p.err = exec.CommandContext(ctx, "go", "build", "-o", p.path, "github.com/trestlehq/trestle/cmd/trestle").CombinedOutput()
}

// Remove removes what was compiled, if anything was. It is for TestMain, when all tests are over.
func (p *Program) Remove() error { return os.RemoveAll(p.dir) }
