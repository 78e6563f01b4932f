package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

const (
	// A batch ends with either, so that it is far below the 1 MiB that a stored batch may have.
	batchMessages = 1000
	batchBytes    = 512 << 10
	// longestValue is the ceiling of what any stream takes. It bounds what is read into memory.
	longestValue = 64 << 20
)

var errValueTooLong = errors.New("no stream takes a message of more than 64 MiB; split it")

// valueBatches are values to publish, a batch at a time. A batch is valid until the next is asked for.
type valueBatches = iter.Seq2[[][]byte, error]

// values are what the arguments of pub say is to be published.
func (inv *invocation) values(f *pubFlags, args []string) (valueBatches, error) {
	if f.lines {
		return lineBatches(inv.stdin, f.overhead()), nil
	}
	value := []byte(args[1])
	if args[1] == "-" {
		var err error
		if value, err = io.ReadAll(io.LimitReader(inv.stdin, longestValue+1)); err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
		if len(value) > longestValue {
			return nil, fmt.Errorf("stdin: %w", errValueTooLong)
		}
	}
	return repeated(value, max(f.count.n, 1), f.overhead()), nil
}

// overhead is how many bytes a message has besides its value, at most.
func (f *pubFlags) overhead() int {
	const fields = 32 // tags and lengths
	n := fields + len(f.key) + len(f.id) + len(f.subject)
	for _, h := range f.headers {
		n += fields + len(h.name) + len(h.value)
	}
	return n
}

// repeated is one value many times.
func repeated(value []byte, times int64, overhead int) valueBatches {
	size := min(times, batchMessages, max(1, int64(batchBytes/(len(value)+overhead))))
	batch := make([][]byte, size)
	for i := range batch {
		batch[i] = value
	}
	return func(yield func([][]byte, error) bool) {
		for left := times; left > 0; {
			n := min(left, size)
			if !yield(batch[:n], nil) {
				return
			}
			left -= n
		}
	}
}

// lineBatches are the lines of r without their line feeds. A batch ends where it would become too large, and where
// reading on would wait: so that lines which come now and then are published as they come.
func lineBatches(r io.Reader, overhead int) valueBatches {
	return func(yield func([][]byte, error) bool) {
		in := bufio.NewReaderSize(r, batchBytes)
		var batch [][]byte
		size := 0
		flush := func() bool {
			going := len(batch) == 0 || yield(batch, nil)
			batch, size = nil, 0
			return going
		}
		for {
			line, err := readLine(in)
			if err != nil {
				if flush() && !errors.Is(err, io.EOF) {
					yield(nil, err)
				}
				return
			}
			need := len(line) + overhead
			if (len(batch) == batchMessages || size+need > batchBytes) && !flush() {
				return
			}
			batch, size = append(batch, line), size+need
			if !lineBuffered(in) && !flush() {
				return
			}
		}
	}
}

// lineBuffered reports whether a whole line can be read without waiting.
func lineBuffered(in *bufio.Reader) bool {
	// What is buffered can always be looked at.
	ahead, _ := in.Peek(in.Buffered())
	return bytes.IndexByte(ahead, '\n') >= 0
}

// readLine returns the next line, which is the caller's. The last may lack its line feed; io.EOF means no line.
func readLine(in *bufio.Reader) ([]byte, error) {
	// Not nil even where the line is empty: an empty value is a value.
	line := []byte{}
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > longestValue+1 {
			return nil, fmt.Errorf("a line of stdin: %w", errValueTooLong)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("read stdin: %w", err)
		}
	}
}
