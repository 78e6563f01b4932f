package rpc

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// told are one of each error that the rooms below export, under the names that they have there.
func told() map[string]error {
	return map[string]error{
		"partition.ErrClosed":          partition.ErrClosed,
		"partition.ErrTooManyInFlight": partition.ErrTooManyInFlight,
		"partition.ErrOutcomeUnknown":  partition.ErrOutcomeUnknown,
		"partition.ErrSequenceGap":     partition.ErrSequenceGap,
		"partition.ErrFenced":          partition.ErrFenced,
		"partition.ErrProducerUnknown": partition.ErrProducerUnknown,
		"partition.ErrAnswerForgotten": partition.ErrAnswerForgotten,
		"partition.ErrPaused":          partition.ErrPaused,
		"partition.ErrReadOnly":        partition.ErrReadOnly,
		"partition.ErrCompacted":       partition.ErrCompacted,
		"partition.WrongOffsetError":   &partition.WrongOffsetError{},
		"partition.DamagedError":       &partition.DamagedError{},
		"partition.ProducerError":      &partition.ProducerError{Err: partition.ErrFenced},
		"partition.TruncatedError":     &partition.TruncatedError{},
		"partition.DiskGuardError":     &partition.DiskGuardError{},

		"host.ErrStreamNotFound":      host.ErrStreamNotFound,
		"host.ErrNoMetadataLeader":    host.ErrNoMetadataLeader,
		"host.ErrMetadataStopped":     host.ErrMetadataStopped,
		"host.ErrOutcomeUnknown":      host.ErrOutcomeUnknown,
		"host.StreamNotFoundError":    &host.StreamNotFoundError{},
		"host.PartitionNotFoundError": &host.PartitionNotFoundError{},
		"host.NotLedError":            &host.NotLedError{},
		"host.ModeError":              &host.ModeError{},
		"host.NotReadyError":          &host.NotReadyError{},
		"host.InvalidError":           &host.InvalidError{},
		"host.UnimplementedError":     &host.UnimplementedError{},
		"host.InternalError":          &host.InternalError{},

		"metadata.ErrLaterVersion":    metadata.ErrLaterVersion,
		"metadata.ErrSnapshotCorrupt": metadata.ErrSnapshotCorrupt,
		"metadata.ErrSnapshotLater":   metadata.ErrSnapshotLater,
		"metadata.ConfigError":        &metadata.ConfigError{},
		"metadata.Refusal":            &metadata.Refusal{Reason: metadata.ReasonMinISR},
		"names.Error":                 &names.Error{},

		"commitlog.ErrClosed":     commitlog.ErrClosed,
		"commitlog.ErrReadOnly":   commitlog.ErrReadOnly,
		"commitlog.ErrFull":       commitlog.ErrFull,
		"commitlog.ErrFault":      commitlog.ErrFault,
		"commitlog.ErrNewer":      commitlog.ErrNewer,
		"commitlog.ErrNoCodec":    commitlog.ErrNoCodec,
		"commitlog.ErrNoKey":      commitlog.ErrNoKey,
		"commitlog.ErrWrongKey":   commitlog.ErrWrongKey,
		"commitlog.CorruptError":  &commitlog.CorruptError{},
		"commitlog.RangeError":    &commitlog.RangeError{},
		"commitlog.TooLargeError": &commitlog.TooLargeError{},
		"partition.TooLargeError": &partition.TooLargeError{},

		"cursor.LimitError": &cursor.LimitError{},
	}
}

// notTold are exported errors that cannot come to a client: of what followers do.
var notTold = []string{"commitlog.ErrNotNext", "commitlog.ErrCommitted"}

// Every error that the rooms below export has a row, so that no client is told INTERNAL of something that has a name.
func TestEveryExportedErrorHasARow(t *testing.T) {
	t.Parallel()
	rows := told()
	for name, err := range rows {
		if m := classify(fmt.Errorf("wrapped: %w", err)); m.code == codes.Internal || m.reason == "" {
			t.Errorf("%s: got %v %s", name, m.code, m.reason)
		}
	}
	for room, folder := range map[string]string{
		"partition": "../partition", "host": "../host", "metadata": "../../../metadata", "names": "../../../metadata/names",
		"commitlog": "../../../commitlog", "cursor": "../cursor",
	} {
		for _, name := range exportedErrors(t, folder) {
			if name = room + "." + name; rows[name] == nil && !slices.Contains(notTold, name) {
				t.Errorf("%s has no row: add one here and in the table of errors", name)
			}
		}
	}
}

// exportedErrors are the exported sentinels and types of errors that a folder declares.
func exportedErrors(t *testing.T, folder string) (found []string) {
	t.Helper()
	for _, file := range sources(t, folder) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BlockStmt:
				return false
			case *ast.ValueSpec:
				for _, name := range n.Names {
					if strings.HasPrefix(name.Name, "Err") {
						found = append(found, name.Name)
					}
				}
			case *ast.TypeSpec:
				if name := n.Name.Name; strings.HasSuffix(name, "Error") && n.Name.IsExported() {
					found = append(found, name)
				}
			}
			return true
		})
	}
	if len(found) == 0 {
		t.Fatalf("%s declares no error", folder)
	}
	return found
}

func sources(t *testing.T, folder string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: got %v, %v", folder, paths, err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// Every reason of the metadata has a code of its own choosing.
func TestEveryRefusalHasACode(t *testing.T) {
	t.Parallel()
	var reasons []metadata.Reason
	for _, file := range sources(t, "../../../metadata") {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") || len(spec.Values) != 1 {
				return true
			}
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons = append(reasons, metadata.Reason(text))
			}
			return true
		})
	}
	if len(reasons) < 30 {
		t.Fatalf("found only %v", reasons)
	}
	for _, reason := range reasons {
		code, ok := codeOfReason[reason]
		if !ok {
			t.Errorf("%s has no code: add it to codeOfReason", reason)
		}
		if m := classify(&metadata.Refusal{Reason: reason}); m.code != code || m.reason != string(reason) {
			t.Errorf("%s: got %v %s, want %v", reason, m.code, m.reason, code)
		}
	}
	if m := classify(&metadata.Refusal{Reason: "OF_LATER"}); m.code != codes.FailedPrecondition || m.reason != "OF_LATER" {
		t.Errorf("a reason of a later version: got %v %s", m.code, m.reason)
	}
	if m := classify(errors.New("what is this")); m.code != codes.Internal {
		t.Errorf("an unknown error: got %v", m.code)
	}
}

// TestPlaced: what speaks of offsets gets its partition, whatever wraps it, and nothing else does.
func TestPlaced(t *testing.T) {
	t.Parallel()
	to := &destination{stream: "s", partition: 3}
	for _, err := range []error{
		&partition.WrongOffsetError{}, &commitlog.RangeError{}, &partition.TruncatedError{}, &partition.DamagedError{}, partition.ErrCompacted,
	} {
		named := placed(to, err)
		if got := classify(named); !errors.Is(named, err) || got.names["stream"] != "s" || got.names["partition"] != "3" || got.reason != classify(err).reason {
			t.Errorf("%v: got %+v", named, got)
		}
	}
	for _, err := range []error{partition.ErrPaused, commitlog.ErrFull} {
		if got := placed(to, err); !errors.Is(got, err) || errors.As(got, new(*PlaceError)) {
			t.Errorf("got %v, want %v as it was", got, err)
		}
	}
}
