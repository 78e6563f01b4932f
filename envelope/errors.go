package envelope

import "errors"

// What is wrong with a frame or with what is to become one; match with errors.Is.
var (
	// ErrNotEnvelope is returned for bytes that do not begin as an envelope does. It is returned as it is, without
	// more text, because it is what every plain message gives.
	ErrNotEnvelope = errors.New("envelope: not an envelope (it does not begin with B9 0E 43 B4): take it as a plain message")
	// ErrUnsupported is returned for a version, or a type of frame, other than the one that is read.
	ErrUnsupported = errors.New("envelope: unsupported frame")
	// ErrChecksum is returned for a payload that does not have the CRC-32C that its frame says.
	ErrChecksum = errors.New("envelope: wrong checksum")
	// ErrMalformed is returned for a frame that is cut short or whose payload is no protobuf message.
	ErrMalformed = errors.New("envelope: malformed frame")
	// ErrTooLarge is returned for more than MaxSize bytes or MaxHeaders headers, when writing and when reading.
	ErrTooLarge = errors.New("envelope: too large")
	// ErrRefused is returned by Ack.Err alone: a stream answered that it did not store the message.
	ErrRefused = errors.New("envelope: message refused")
)
