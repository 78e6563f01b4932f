package main

import (
	"fmt"
	"io"
	"time"
)

// progressEvery is how often long work says how far it is. What is done sooner says nothing.
const progressEvery = 2 * time.Second

// progressReport tells people how far long work is, on stderr; scripts, which ask for JSON, are told at the end only.
type progressReport struct {
	to     io.Writer
	verb   string
	now    func() time.Time
	begun  time.Time
	next   time.Time
	silent bool
}

func newProgressReport(to io.Writer, verb string, out *outputFlag) *progressReport {
	begun := time.Now()
	return &progressReport{to: to, verb: verb, now: time.Now, begun: begun, next: begun.Add(progressEvery), silent: out.is(formatJSON)}
}

// report says how many messages are done, if it is time.
func (p *progressReport) report(messages int64) {
	now := p.now()
	if p.silent || now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	_, _ = fmt.Fprintf(p.to, "%s %s messages in %s\n", p.verb, count(messages), now.Sub(p.begun).Round(time.Second))
}
