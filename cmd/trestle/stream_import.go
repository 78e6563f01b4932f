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
its subjects meanwhile: what is published then stands among what is imported.

An import that is killed leaves the stream so, with a part of the file. Import the same FILE again
with --resume: what the stream holds is compared with the file, message by message, only what is
missing is published, and a stream that still forgets ids and fans out nothing gets both back as the
file says.`,
		Example: `  trestle stream import orders orders.trestle
  trestle stream import orders-copy orders.trestle -o json
  trestle stream import orders orders.trestle --resume
  zstd -dc orders.trestle.zst | trestle stream import orders -`,
		Args: twoArguments("a NAME and a FILE"),
	}
	address := addAddressFlag(inv, cmd)
	out.addTo(cmd)
	resumed := cmd.Flags().Bool("resume", false, "go on with an import of the same FILE that was cut short")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := names.Stream(args[0]); err != nil {
			return valueMisuse(cmd, "NAME", args[0], nameMisuse(err))
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		f := filling{path: args[1], resumed: *resumed, progress: newProgressReport(inv.stderr, "imported", out)}
		summary, err := inv.importStream(ctx, cmd, address, args[0], &f)
		if err != nil {
			return err
		}
		return inv.print(summary.rendered(out))
	}
	return cmd
}

func (inv *invocation) importStream(ctx context.Context, cmd *cobra.Command, address *addressFlag, name string, f *filling) (*fileSummary, error) {
	source, closeSource, err := inv.openImport(f.path)
	if err != nil {
		return nil, err
	}
	defer closeSource()
	f.file, err = streamfile.NewReader(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	cfg, err := parseStreamJSON(f.file.Stream())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	cfg.Name = name
	c, err := address.connect(ctx, cmd)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(c)
	f.client = c
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
	resumed  bool // go on where another import of the file has ended
	progress *progressReport
	summary  *fileSummary

	before *resumption // what the stream holds already; nil: nothing
}

// run finds or creates the stream, fills it and makes it what it is to be.
func (f *filling) run(ctx context.Context, cfg client.StreamConfig) (*fileSummary, error) {
	stream, settled, was, err := f.open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if f.before != nil {
		defer f.before.stop()
	}
	f.summary = newFileSummary("imported", cfg.Name, f.path, settled.Partitions)
	if quiet(&settled) && !quiet(&cfg) {
		f.summary.note = settingsNote(&cfg)
	}
	filled := f.fill(ctx, stream)
	different := errors.As(filled, new(*otherContentError))
	if different {
		settled = was // nobody knows what it is to be
	}
	// Also after a failure, and after Ctrl-C: the stream may not go on forgetting ids.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	restored := stream.Update(settling, func(c *client.StreamConfig) {
		c.Fanout, c.DedupWindow = settled.Fanout, settled.DedupWindow
	})
	if err := errors.Join(filled, restored); different {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("stream %s may hold a part of %s, %w; go on by importing it again with --resume, or delete the stream with trestle stream rm %s", cfg.Name, f.path, err, cfg.Name)
	}
	return f.summary, nil
}

// open makes the stream ready to be filled, and returns what it is to be afterwards, and what it was.
func (f *filling) open(ctx context.Context, cfg client.StreamConfig) (stream *client.Stream, settled, was client.StreamConfig, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	created := cfg
	makeQuiet(&created)
	stream, err = f.client.CreateStream(ctx, created)
	if err == nil || !errors.Is(err, client.ErrStreamExists) {
		return stream, cfg, cfg, err
	}
	stream = f.client.Stream(cfg.Name)
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, cfg, cfg, err
	}
	settled, was = info.Config, info.Config
	switch n := messagesOf(&info); {
	case was.Partitions < cfg.Partitions:
		return nil, cfg, cfg, fmt.Errorf("stream %s has fewer partitions than the %d of the file; type trestle stream edit %s --partitions %d first",
			cfg.Name, cfg.Partitions, cfg.Name, cfg.Partitions)
	case n > 0 && !f.resumed:
		return nil, cfg, cfg, fmt.Errorf("stream %s holds %s messages, and only an empty one can be filled; choose another NAME, or go on with an import of %s that was cut short, with --resume",
			cfg.Name, count(n), f.path)
	case f.resumed:
		if f.before, err = resume(stream, &info, f.path); err != nil {
			return nil, cfg, cfg, err
		}
		if quiet(&settled) {
			settled.Fanout, settled.DedupWindow = cfg.Fanout, cfg.DedupWindow
		}
	}
	return stream, settled, was, stream.Update(ctx, makeQuiet)
}

// makeQuiet has a stream forget ids and fan out nothing, as while it is filled.
func makeQuiet(cfg *client.StreamConfig) { cfg.Fanout, cfg.DedupWindow = false, client.None }

func quiet(cfg *client.StreamConfig) bool { return !cfg.Fanout && cfg.DedupWindow <= 0 }

// settingsNote says how a stream gets back what an import that was killed has left off.
func settingsNote(cfg *client.StreamConfig) string {
	note := "it remembers no ids and does not fan out, as it was; the stream of the file did: trestle stream edit " + cfg.Name
	if cfg.DedupWindow > 0 {
		note += " --dedup-window " + formatDuration(cfg.DedupWindow)
	}
	if cfg.Fanout {
		note += " --fanout"
	}
	return note
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
	if f.before != nil {
		for partition, n := range f.before.passed {
			f.summary.placeHeld(partition, n, ends[partition] == nil)
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
		missing := chunk.Messages
		if f.before != nil {
			if missing, err = f.before.missing(ctx, &chunk); err != nil {
				return err
			}
		}
		for i := range missing {
			future := producer.Send(ctx, missing[i])
			if ends[chunk.Partition] == nil {
				ends[chunk.Partition] = &sentEnds{first: future}
			}
			ends[chunk.Partition].last = future
		}
		f.summary.count(chunk.Messages)
		f.summary.already += int64(len(chunk.Messages) - len(missing))
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
