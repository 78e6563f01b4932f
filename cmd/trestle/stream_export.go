package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/cmd/trestle/internal/streamfile"
)

// throughPipe stands for standard input or output in place of a file.
const throughPipe = "-"

func newStreamExportCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "export NAME FILE [flags]",
		Short: "Write a stream into a file",
		Long: `Write all that a stream holds when the command begins into a file: its configuration, and the
messages and gaps of all partitions. Nothing is written over: the FILE may not exist. With - for
the FILE it goes to standard output, and the summary to stderr. What takes long says on stderr how
far it is.

Kept are order, partition, offset, time, leader epoch, subject, reply, key, value, headers and
tombstone of each message. Not kept are cursors and the mode of the stream. The file has checksums,
and is one protobuf message; cmd/trestle/internal/streamfile draws it. stream import reads it back,
and says there what it can keep.`,
		Example: `  trestle stream export orders orders.trestle
  trestle stream export orders - | zstd > orders.trestle.zst
  trestle stream export orders - | trestle stream import orders - --addr other:9292
  trestle stream export orders orders.trestle -o json`,
		Args: twoArguments("the NAME of a stream and a FILE"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		summary, err := inv.exportStream(ctx, cmd, address, args[0], args[1], out)
		if err != nil {
			return err
		}
		if args[1] == throughPipe {
			_, _ = io.WriteString(inv.stderr, summary.rendered(out))
			return nil
		}
		return inv.print(summary.rendered(out))
	}
	return cmd
}

// exportStream writes a stream into a file, which is gone if that fails.
func (inv *invocation) exportStream(ctx context.Context, cmd *cobra.Command, address *addressFlag, name, path string, out *outputFlag) (*fileSummary, error) {
	c, err := address.connect(ctx, cmd)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(c)
	asking, cancel := context.WithTimeout(ctx, callTime)
	info, err := c.Stream(name).Info(asking)
	cancel()
	if err != nil {
		return nil, err
	}
	e := &export{info: &info, progress: newProgressReport(inv.stderr, "exported", out)}
	e.summary = newFileSummary("exported", name, path, len(info.Partitions))
	if path == throughPipe {
		return e.summary, outputError(0, e.write(ctx, c, inv.stdout))
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s exists and is not written over; choose another name, or remove it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; name a file in a folder that is there and can be written to; nothing was exported", err)
	}
	err = errors.Join(e.write(ctx, c, file), file.Sync(), file.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return e.summary, err
}

// export is the writing of one stream.
type export struct {
	info     *client.StreamInfo
	file     *streamfile.Writer
	summary  *fileSummary
	progress *progressReport
	failed   error // of a gap that could not be written
}

func (e *export) write(ctx context.Context, c *client.Client, to io.Writer) error {
	buffered := bufio.NewWriterSize(to, 1<<20)
	description := appendStreamJSON(nil, e.info, nil)
	var err error
	if e.file, err = streamfile.NewWriter(buffered, description[:len(description)-1]); err != nil {
		return err
	}
	if err := e.messages(ctx, c.Stream(e.info.Config.Name)); err != nil {
		return err
	}
	if err := e.file.Close(e.summary.end()); err != nil {
		return err
	}
	e.summary.bytes = e.file.Bytes()
	return buffered.Flush()
}

// messages writes what the stream holds now.
func (e *export) messages(ctx context.Context, stream *client.Stream) error {
	beginning, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	sub, err := stream.Subscribe(beginning, client.FromEarliest(), client.UntilLatest(), client.OnGap(e.gap))
	if err != nil {
		return err
	}
	defer sub.Stop()
	for messages, err := range sub.Batches(ctx) {
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream.Name(), err)
		}
		if err := errors.Join(e.failed, e.file.Messages(messages)); err != nil {
			return fmt.Errorf("write the file: %w", err)
		}
		e.summary.count(messages)
		e.progress.report(e.summary.messages)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return e.failed
}

func (e *export) gap(partition int, gap client.Gap) {
	e.summary.gap(partition)
	e.failed = errors.Join(e.failed, e.file.Gap(partition, gap))
}

// errInterrupted is the end of what was told to end before it was done.
var errInterrupted = errors.New("interrupted before it was done")
