package node

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger hands what hashicorp/raft logs to slog. Raft's informational lines become debug lines and its errors
// warnings: nearly all of its errors are peers that do not answer, and it goes on. What must end the broker comes out
// of [Node.Fatal].
type raftLogger struct {
	out     *slog.Logger
	implied []any
	name    string
}

var _ hclog.Logger = raftLogger{}

func slogLevel(level hclog.Level) slog.Level {
	switch level {
	case hclog.Warn, hclog.Error:
		return slog.LevelWarn
	case hclog.NoLevel, hclog.Trace, hclog.Debug, hclog.Info, hclog.Off:
	}
	return slog.LevelDebug
}

// Log logs one line; args alternate keys and values.
func (l raftLogger) Log(level hclog.Level, message string, args ...any) {
	ctx, to := context.Background(), slogLevel(level)
	if !l.out.Enabled(ctx, to) {
		return
	}
	plain := make([]any, len(args))
	for i, arg := range args {
		plain[i] = arg
		if format, ok := arg.(hclog.Format); ok && len(format) > 0 {
			plain[i] = fmt.Sprintf(fmt.Sprint(format[0]), format[1:]...)
		}
	}
	l.out.Log(ctx, to, message, plain...)
}

func (l raftLogger) enabled(level hclog.Level) bool {
	return l.out.Enabled(context.Background(), slogLevel(level))
}

// Trace, Debug, Info, Warn and Error log one line at their level.
func (l raftLogger) Trace(message string, args ...any) { l.Log(hclog.Trace, message, args...) }

// Debug: see [raftLogger.Trace].
func (l raftLogger) Debug(message string, args ...any) { l.Log(hclog.Debug, message, args...) }

// Info: see [raftLogger.Trace].
func (l raftLogger) Info(message string, args ...any) { l.Log(hclog.Info, message, args...) }

// Warn: see [raftLogger.Trace].
func (l raftLogger) Warn(message string, args ...any) { l.Log(hclog.Warn, message, args...) }

// Error: see [raftLogger.Trace].
func (l raftLogger) Error(message string, args ...any) { l.Log(hclog.Error, message, args...) }

// IsTrace and its like say whether a line of that level would be written.
func (l raftLogger) IsTrace() bool { return l.enabled(hclog.Trace) }

// IsDebug: see [raftLogger.IsTrace].
func (l raftLogger) IsDebug() bool { return l.enabled(hclog.Debug) }

// IsInfo: see [raftLogger.IsTrace].
func (l raftLogger) IsInfo() bool { return l.enabled(hclog.Info) }

// IsWarn: see [raftLogger.IsTrace].
func (l raftLogger) IsWarn() bool { return l.enabled(hclog.Warn) }

// IsError: see [raftLogger.IsTrace].
func (l raftLogger) IsError() bool { return l.enabled(hclog.Error) }

// ImpliedArgs returns what With was given.
func (l raftLogger) ImpliedArgs() []any { return l.implied }

// With returns a logger whose lines all carry args.
func (l raftLogger) With(args ...any) hclog.Logger {
	implied := append(append([]any(nil), l.implied...), args...)
	return raftLogger{out: l.out.With(args...), implied: implied, name: l.name}
}

// Name returns the name that Named gave.
func (l raftLogger) Name() string { return l.name }

// Named returns the logger under another name, which its lines do not show.
func (l raftLogger) Named(name string) hclog.Logger { l.name = name; return l }

// ResetNamed is Named.
func (l raftLogger) ResetNamed(name string) hclog.Logger { return l.Named(name) }

// SetLevel does nothing: the level is slog's.
func (l raftLogger) SetLevel(hclog.Level) {}

// GetLevel returns the lowest level that is written.
func (l raftLogger) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Debug, hclog.Warn} {
		if l.enabled(level) {
			return level
		}
	}
	return hclog.Off
}

// StandardLogger returns a logger of package log whose lines become debug lines.
func (l raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger { //nolint:forbidigo // hclog's interface
	return slog.NewLogLogger(l.out.Handler(), slog.LevelDebug)
}

// StandardWriter returns a writer whose lines become debug lines.
func (l raftLogger) StandardWriter(options *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(options).Writer() //nolint:forbidigo // it leads to slog
}
