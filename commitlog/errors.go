package commitlog

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrClosed means that the log was closed or deleted.
	ErrClosed = errors.New("log is closed")
	// ErrReadOnly means that the log was set read-only.
	ErrReadOnly = errors.New("log is read-only")
	// ErrFull means that the disk has no room; the append was undone and the log is as it was before.
	ErrFull = errors.New("no space left on the device")
	// ErrFault means that a write or sync failed in a way after which nothing more may be appended. It is final.
	ErrFault = errors.New("log failed")
	// ErrNewer means that a file was written by a later version of this program.
	ErrNewer = errors.New("written by a later version")
)

// CorruptError says that stored bytes are not what was written. They are never served.
type CorruptError struct {
	File     string
	Position int64 // in the file, bytes
	Err      error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s at byte %d: %v", e.File, e.Position, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// RangeError says that an offset cannot be read because the log does not hold it: it is gone (below LogStart) or not
// there yet (above NextOffset).
type RangeError struct {
	Offset     int64
	LogStart   int64
	NextOffset int64
}

func (e *RangeError) Error() string {
	if e.Offset < e.LogStart {
		return fmt.Sprintf("offset %d is gone: the log starts at %d", e.Offset, e.LogStart)
	}
	return fmt.Sprintf("offset %d is beyond the end: the next offset is %d", e.Offset, e.NextOffset)
}

// TooLargeError says that a batch does not fit the buffer that it was to be read into.
type TooLargeError struct {
	Offset    int64
	SizeBytes int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the batch at offset %d has %d bytes, more than asked for", e.Offset, e.SizeBytes)
}
