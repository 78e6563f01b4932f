package main

import (
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
	"github.com/trestlehq/trestle/metadata/names"
)

func newStreamImportCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "import NAME FILE [flags]",
		Short: "Fill a stream from a file",
		Long: `Create a stream as the file of stream export says, under any NAME, and publish into it what the
file holds; or fill a stream that is there and holds nothing, whose configuration stays. A FILE is
checked as a whole first, and nothing is done with one that is damaged; with - it comes from
standard input, and is checked as it comes. What takes long says on stderr how far it is.

Kept are partition and order, subject, reply, key, value, headers and tombstone of each message.
Not kept are times: a server gives its own when it stores. Offsets are counted anew from where the
stream is; those of a stream that had lost none of its messages are the same again. Gaps in the
file are counted, and not imported.

While it is filled, the stream forgets ids and fans out nothing, so that nothing in the file is
taken for a duplicate, or published on NATS again; both are as configured afterwards. It records
its subjects meanwhile: what is published then stands among what is imported.`,
		Example: `  trestle stream import orders orders.trestle
  trestle stream import orders-copy orders.trestle -o json
  zstd -dc orders.trestle.zst | trestle stream import orders -`,
		Args: twoArguments("a NAME and a FILE"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := names.Stream(args[0]); err != nil {
			return valueMisuse(cmd, "NAME", args[0], nameMisuse(err))
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		summary, err := inv.importStream(ctx, cmd, address, args[0], args[1], out)
		if err != nil {
			return err
		}
		return inv.print(summary.rendered(out))
	}
	return cmd
}

func (inv *invocation) importStream(ctx context.Context, cmd *cobra.Command, address *addressFlag, name, path string, out *outputFlag) (*fileSummary, error) {
	source, closeSource, err := inv.openImport(path)
	if err != nil {
		return nil, err
	}
	defer closeSource()
	file, err := streamfile.NewReader(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	cfg, err := parseStreamJSON(file.Stream())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	cfg.Name = name
	c, err := address.connect(ctx, cmd)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(c)
	f := filling{client: c, file: file, path: path, progress: newProgressReport(inv.stderr, "imported", out)}
	return f.run(ctx, cfg)
}

// openImport opens what is to be imported. A file is read to its end first: nothing is imported from one that is
// damaged.
func (inv *invocation) openImport(path string) (source io.Reader, closeSource func(), err error) {
	if path == throughPipe {
		return inv.stdin, func() {}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; name a file that trestle stream export has written; nothing was imported", err)
	}
	closeSource = func() { _ = file.Close() }
	err = checkStreamFile(file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		closeSource()
		return nil, nil, fmt.Errorf("%s: %w; nothing was imported", path, err)
	}
	return file, closeSource, nil
}

func checkStreamFile(from io.Reader) error {
	file, err := streamfile.NewReader(from)
	for err == nil {
		_, err = file.Next()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// filling is the import of one file.
type filling struct {
	client   *client.Client
	file     *streamfile.Reader
	path     string
	progress *progressReport
	summary  *fileSummary
}

// run finds or creates the stream, fills it and makes it what it is to be.
func (f *filling) run(ctx context.Context, cfg client.StreamConfig) (*fileSummary, error) {
	stream, settled, err := f.open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	f.summary = newFileSummary("imported", cfg.Name, f.path, settled.Partitions)
	filled := f.fill(ctx, stream)
	// Also after a failure, and after Ctrl-C: the stream may not go on forgetting ids.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	restored := stream.Update(settling, func(c *client.StreamConfig) {
		c.Fanout, c.DedupWindow = settled.Fanout, settled.DedupWindow
	})
	if err := errors.Join(filled, restored); err != nil {
		return nil, fmt.Errorf("stream %s may hold a part of %s, %w; delete it with trestle stream rm %s and import again", cfg.Name, f.path, err, cfg.Name)
	}
	return f.summary, nil
}

// open makes the stream ready to be filled, and returns what it is to be afterwards.
func (f *filling) open(ctx context.Context, cfg client.StreamConfig) (*client.Stream, client.StreamConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	quiet := func(c *client.StreamConfig) { c.Fanout, c.DedupWindow = false, client.None }
	created := cfg
	quiet(&created)
	stream, err := f.client.CreateStream(ctx, created)
	if err == nil || !errors.Is(err, client.ErrStreamExists) {
		return stream, cfg, err
	}
	stream = f.client.Stream(cfg.Name)
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, cfg, err
	}
	if n := messagesOf(&info); n > 0 {
		return nil, cfg, fmt.Errorf("stream %s holds %s messages, and only an empty one can be filled; choose another NAME", cfg.Name, count(n))
	}
	if info.Config.Partitions < cfg.Partitions {
		return nil, cfg, fmt.Errorf("stream %s has fewer partitions than the %d of the file; type trestle stream edit %s --partitions %d first",
			cfg.Name, cfg.Partitions, cfg.Name, cfg.Partitions)
	}
	return stream, info.Config, stream.Update(ctx, quiet)
}

// fill publishes all messages of the file.
func (f *filling) fill(ctx context.Context, stream *client.Stream) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	producer := stream.Producer(client.ProducerConfig{
		Partitioner: asInFile{},
		OnError:     func(_ *client.Message, err error) { fail(err) },
	})
	ends := map[int]*sentEnds{}
	read := f.send(ctx, producer, ends)
	closed := producer.Close(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // the first message that failed
	}
	if err := errors.Join(read, closed); err != nil {
		return err
	}
	for partition, sent := range ends {
		if err := f.summary.place(ctx, partition, sent); err != nil {
			return err
		}
	}
	return nil
}

func (f *filling) send(ctx context.Context, producer *client.Producer, ends map[int]*sentEnds) error {
	for {
		chunk, err := f.file.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		for i := range chunk.Messages {
			future := producer.Send(ctx, chunk.Messages[i])
			if ends[chunk.Partition] == nil {
				ends[chunk.Partition] = &sentEnds{first: future}
			}
			ends[chunk.Partition].last = future
		}
		f.summary.count(chunk.Messages)
		for range chunk.Gaps {
			f.summary.gap(chunk.Partition)
		}
		f.progress.report(f.summary.messages)
	}
}

// sentEnds are what became of the first and of the last message of a partition.
type sentEnds struct{ first, last *client.Future }

// asInFile leaves each message in the partition in which it was.
type asInFile struct{}

// Partition is the message's own.
func (asInFile) Partition(m *client.Message, _ int) int { return m.Partition }
