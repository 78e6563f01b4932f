package commitlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/trestlehq/trestle/proto/batch"
)

// iterateBuffer is how many bytes an iterator reads at once, unless a batch is larger.
const iterateBuffer = 256 << 10

// Records returns the committed records from the offset on, in order, and ends at the end of what is committed; with
// follow it waits there for more, until ctx ends. An error is the last thing that it yields. A record is valid until the
// next one is asked for.
func (l *Log) Records(ctx context.Context, from int64, follow bool) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		r := l.ReadFrom(from)
		buf := make([]byte, iterateBuffer)
		for until := l.Committed(); ; {
			run, err := readGrowing(&buf, func(b []byte) (Run, error) { return r.Read(b, until) })
			if err == nil && len(run.Bytes) > 0 {
				err = l.visitRun(run.Bytes, func(rec *Record) error {
					if rec.Offset >= from && !yield(rec, nil) {
						return errStop
					}
					return nil
				})
			} else if err == nil {
				if !follow {
					return
				}
				until, err = l.WaitCommitted(ctx, until)
			}
			if err != nil {
				if !errors.Is(err, errStop) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// RecordsBackwards returns the committed records below the offset, newest first, down to the log start. An error is the
// last thing that it yields. A record is valid until the next one is asked for.
func (l *Log) RecordsBackwards(below int64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		end, err := l.positionOf(below)
		r := l.ReadBackFrom(end)
		buf := make([]byte, iterateBuffer)
		for err == nil {
			var run Run
			if run, err = readGrowing(&buf, r.Read); err != nil || len(run.Bytes) == 0 {
				break
			}
			start := l.Start()
			var back []Record
			err = l.visitRun(run.Bytes, func(rec *Record) error {
				if rec.Offset >= start && rec.Offset < below {
					kept := *rec
					kept.Headers = slices.Clone(rec.Headers)
					back = append(back, kept)
				}
				return nil
			})
			for i := range back {
				if !yield(&back[len(back)-1-i], nil) {
					return
				}
			}
			if run.First.Offset <= start {
				break
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// positionOf is the end of the batch that holds the last committed record below the offset.
func (l *Log) positionOf(below int64) (Position, error) {
	committed := l.Committed()
	if below >= committed.Offset {
		return committed, nil
	}
	f, err := l.search(func(h *batch.Header) bool { return h.BaseOffset >= below })
	if err != nil || committed.Before(f.at) {
		return committed, err
	}
	return f.at, nil
}

// readGrowing reads into a buffer that is made larger when a batch does not fit.
func readGrowing(buf *[]byte, read func([]byte) (Run, error)) (Run, error) {
	for {
		run, err := read(*buf)
		var large *TooLargeError
		if !errors.As(err, &large) || large.SizeBytes <= len(*buf) {
			return run, err
		}
		*buf = make([]byte, large.SizeBytes)
	}
}

// visitRun calls visit with the records of a run of batches, unpacked and decrypted.
func (l *Log) visitRun(run []byte, visit func(*Record) error) error {
	for len(run) > 0 {
		h, err := batch.ParseHeader(run)
		if err != nil {
			return fmt.Errorf("records: %w", err)
		}
		b, err := l.plain(nil, &h, run)
		if err != nil {
			return err
		}
		run = run[h.Size:]
		if err := records(b, visit); err != nil {
			return err
		}
	}
	return nil
}
