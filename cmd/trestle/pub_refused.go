package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/trestlehq/trestle/client"
)

// What is said of a message that is not taken, by servers and by the client.
const refusedRecord = "records cannot be stored: record "

var raiseLimit = []string{", or raise its MaxMessageBytes, as `trestle stream edit --max-message` does", ", or raise max_message_bytes"}

// refused says in the words of the command line why a message was not taken. Servers count the messages of a batch, which are not
// the caller's; and a limit is to be raised only where this version of the server takes more.
func (f *pubFlags) refused(ctx context.Context, c *client.Client, err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) {
		return err
	}
	message := err.Error()
	if before, after, ok := strings.Cut(message, refusedRecord); ok {
		which := "the message"
		if f.lines {
			which = "a message"
		}
		if _, why, ok := strings.Cut(after, ": "); ok {
			message = before + which + " cannot be stored: " + why
		}
	}
	for _, advice := range raiseLimit {
		if before, after, ok := strings.Cut(message, advice); ok {
			if takesMore(ctx, c, answer) {
				before += ", or raise that with trestle stream edit --max-message"
			}
			message = before + after
		}
	}
	if message == err.Error() {
		return err
	}
	return &flagWordsError{message: message, err: err}
}

// takesMore says whether the server takes larger messages than the limit that refused one. It does if it cannot be asked.
func takesMore(ctx context.Context, c *client.Client, refusal *client.Error) bool {
	limit, err := strconv.ParseInt(refusal.Names["limit"], 10, 64)
	if err != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	info, err := c.Server(ctx)
	return err != nil || limit < info.Limits.MessageBytes
}
