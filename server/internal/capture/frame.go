package capture

import (
	"bytes"
	"errors"
	"fmt"
)

// frame is one thing that a NATS server sends: a message, or a line. Its bytes are those that it was read from. The protocol
// is described at docs.nats.io/reference/reference-protocols/nats-protocol.
type frame struct {
	line []byte // with its end, of what is no message; nil: a message

	sid            int64
	subject, reply []byte
	header         []byte // as sent; nil: none
	data           []byte
}

// maxLine is the longest line that is waited for. A server's INFO, which names all servers of a cluster, is the longest.
const maxLine = 1 << 20

// errFrame is of what no NATS server sends.
var errFrame = errors.New("this is not the protocol of NATS")

// cut reads the frame that b begins with. n is how many bytes it has; 0: the end is not there yet, and b must have
// at least need bytes. Messages of more than largest bytes are refused.
func (f *frame) cut(b []byte, largest int) (n, need int, err error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) >= maxLine {
			return 0, 0, fmt.Errorf("a line of more than %d bytes: %w", maxLine, errFrame)
		}
		return 0, len(b) + 1, nil
	}
	line := b[:end+1]
	withHeader := len(line) > 5 && line[0] == 'H'
	if args, ok := argsOf(line, withHeader); ok {
		header, size, err := f.message(args, withHeader)
		if err != nil {
			return 0, 0, fmt.Errorf("%.80q: %w", line, err)
		}
		if size > largest {
			return 0, 0, fmt.Errorf("a message of %d bytes where at most %d were announced: %w", size, largest, errFrame)
		}
		whole := len(line) + size + len("\r\n")
		if len(b) < whole {
			return 0, whole, nil
		}
		if b[whole-2] != '\r' || b[whole-1] != '\n' {
			return 0, 0, fmt.Errorf("%.80q, and not so many bytes: %w", line, errFrame)
		}
		if withHeader {
			f.header = b[len(line) : len(line)+header : len(line)+header]
		}
		f.data = b[len(line)+header : len(line)+size : len(line)+size]
		return whole, 0, nil
	}
	*f = frame{line: line}
	return len(line), 0, nil
}

// argsOf is what follows MSG or HMSG, which servers send in capitals.
func argsOf(line []byte, withHeader bool) (args []byte, ok bool) {
	if withHeader {
		line = line[1:]
	}
	if len(line) < 4 || line[0] != 'M' || line[1] != 'S' || line[2] != 'G' || line[3] != ' ' && line[3] != '\t' {
		return nil, false
	}
	return line[4:], true
}

// message reads subject, sid, the reply subject if there is one, the size of the header if there is one, and the size.
func (f *frame) message(args []byte, withHeader bool) (header, size int, err error) {
	var fields [6][]byte
	n := split(args, &fields)
	sizes := 1
	if withHeader {
		sizes = 2
	}
	if n != 2+sizes && n != 3+sizes {
		return 0, 0, errFrame
	}
	*f = frame{subject: fields[0]}
	if n == 3+sizes {
		f.reply = fields[2]
	}
	sid, ok := number(fields[1])
	wholeSize, okSize := number(fields[n-1])
	f.sid, size = sid, int(wholeSize)
	if withHeader {
		headerSize, okHeader := number(fields[n-2])
		header, ok = int(headerSize), ok && okHeader && headerSize <= wholeSize
	}
	if !ok || !okSize {
		return 0, 0, errFrame
	}
	return header, size, nil
}

// split cuts at white space and returns how many fields there are; more than fit count as one more.
func split(line []byte, fields *[6][]byte) int {
	n, start := 0, -1
	for i, b := range line {
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			if start < 0 {
				start = i
			}
			continue
		}
		if start < 0 {
			continue
		}
		if n == len(fields) {
			return n + 1
		}
		fields[n] = line[start:i:i]
		n++
		start = -1
	}
	return n
}

// number reads a decimal number of at most ten digits.
func number(digits []byte) (n int64, ok bool) {
	if len(digits) == 0 || len(digits) > 10 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}
