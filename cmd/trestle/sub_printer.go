package main

import (
	"bufio"
	"fmt"
	"io"

	"github.com/trestlehq/trestle/client"
)

const outputBuffer = 256 << 10

// printer renders what sub reads. It buffers: whoever waits flushes first.
type printer struct {
	out    *bufio.Writer
	errOut io.Writer
	format string
	stream string
	gaps   bool
	wanted *patternFlag
	// left messages are printed; negative: any number.
	left int64

	json messageJSON
	text messageText
	line []byte
}

func newPrinter(inv *invocation, f *subFlags, stream, format string) *printer {
	p := &printer{
		out: bufio.NewWriterSize(inv.stdout, outputBuffer), errOut: inv.stderr,
		format: format, stream: stream, gaps: f.gaps, wanted: &f.subject, left: -1,
		json: messageJSON{utf8: f.utf8},
	}
	if f.count.n > 0 {
		p.left = f.count.n
	}
	return p
}

// outages has people told why nothing comes, and when that is over. With -o json what comes on stderr is JSON.
func (p *printer) outages(address *addressFlag) []client.Option {
	if p.format == formatJSON {
		return nil
	}
	return []client.Option{client.OnConnection(func(connected bool) {
		text := "connection to " + address.text + " lost; trying again\n"
		if connected {
			text = "connected again\n"
		}
		_, _ = io.WriteString(p.errOut, text) // who cannot be told is not in need of it
	})}
}

// print prints an item; done means that no more is wanted.
func (p *printer) print(item feedItem) (done bool, err error) {
	switch {
	case item.err != nil:
		return false, item.err
	case item.gap != nil:
		return false, p.printGap(item.partition, item.gap)
	}
	for i := range item.messages {
		m := &item.messages[i]
		if !p.wanted.matches(m.Subject) {
			continue
		}
		if err := p.printMessage(m); err != nil {
			return false, err
		}
		if p.left--; p.left == 0 {
			return true, nil
		}
	}
	return false, nil
}

func (p *printer) printMessage(m *client.Message) error {
	if p.format == formatRaw {
		return outputError(p.out.Write(m.Value))
	}
	if p.format == formatJSON {
		p.line = p.json.append(p.line[:0], m)
	} else {
		p.line = p.text.append(p.line[:0], m)
	}
	return outputError(p.out.Write(p.line))
}

// printGap prints a gap among the messages where that was asked for, else beside them.
func (p *printer) printGap(partition int, gap *client.Gap) error {
	if p.gaps {
		p.line = appendGapJSON(p.line[:0], p.stream, partition, gap)
		return outputError(p.out.Write(p.line))
	}
	// What is printed beside the messages stands behind those that came before.
	if err := p.flush(); err != nil {
		return err
	}
	var err error
	if p.format == formatJSON {
		p.line = appendGapJSON(p.line[:0], p.stream, partition, gap)
		_, err = p.errOut.Write(p.line)
	} else {
		_, err = fmt.Fprintf(p.errOut, "%s/%d: %s\n", p.stream, partition, gapText(gap))
	}
	if err != nil {
		return fmt.Errorf("report a gap on stderr: %w", err)
	}
	return nil
}

func (p *printer) flush() error { return outputError(0, p.out.Flush()) }
