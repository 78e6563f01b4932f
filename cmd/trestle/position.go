package main

import (
	"math"
	"strconv"
	"strings"
	"time"
)

type positionKind int

const (
	atNew positionKind = iota
	atEarliest
	atLatest
	atOffset
	atTime
	atAgo
	atLast
	atCursor
)

// position is where sub begins or ends.
type position struct {
	kind   positionKind
	offset int64         // atOffset
	time   time.Time     // atTime
	ago    time.Duration // atAgo
	last   int           // atLast
	cursor string        // atCursor
}

const (
	fromForms = "new, earliest, latest, offset=N, time=T, ago=D, last=N or cursor=ID"
	toForms   = "latest, offset=N or time=T"
)

// fromFlag is where reading begins.
type fromFlag struct {
	position
	text string
}

func (f *fromFlag) Set(text string) error {
	f.text = text
	word, value, hasValue := strings.Cut(text, "=")
	switch {
	case word == "new" && !hasValue:
		f.position = position{kind: atNew}
		return nil
	case word == "earliest" && !hasValue:
		f.position = position{kind: atEarliest}
		return nil
	case word == "ago" && hasValue:
		d, err := parseDuration(value)
		f.position = position{kind: atAgo, ago: d}
		return err
	case word == "last" && hasValue:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 1 {
			return &misuse{message: "not a number of messages", remedy: "write last=10"}
		}
		f.position = position{kind: atLast, last: int(n)}
		return nil
	case word == "cursor" && value != "":
		f.position = position{kind: atCursor, cursor: value}
		return nil
	}
	var err error
	f.position, err = parseEitherEnd(text, fromForms)
	return err
}

func (f *fromFlag) String() string { return f.text }
func (f *fromFlag) Type() string   { return "POSITION" }

// toFlag is where reading ends; the end itself is not read.
type toFlag struct {
	position
	text string
}

func (f *toFlag) Set(text string) error {
	f.text = text
	var err error
	f.position, err = parseEitherEnd(text, toForms)
	return err
}

func (f *toFlag) String() string { return f.text }
func (f *toFlag) Type() string   { return "POSITION" }

// parseEitherEnd reads the positions that can be a start as well as an end.
func parseEitherEnd(text, forms string) (position, error) {
	word, value, hasValue := strings.Cut(text, "=")
	switch {
	case word == "latest" && !hasValue:
		return position{kind: atLatest}, nil
	case word == "offset" && hasValue:
		n, err := parseOffset(value)
		return position{kind: atOffset, offset: n}, err
	case word == "time" && hasValue:
		t, err := parseStoredTime(value)
		return position{kind: atTime, time: t}, err
	}
	if _, err := strconv.ParseUint(text, 10, 63); err == nil {
		return position{}, &misuse{message: "not a position", remedy: "write offset=" + text}
	}
	return position{}, &misuse{message: "not a position", remedy: "write " + forms}
}

func parseOffset(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, &misuse{message: "not an offset", remedy: "offsets are numbered from 0: write offset=17"}
	}
	return n, nil
}

// parseStoredTime reads a time at which a message can have been stored: one that is unix nanoseconds in 64 bits.
func parseStoredTime(text string) (time.Time, error) {
	t, err := parseTime(text)
	if err != nil {
		return t, err
	}
	if first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64); t.Before(first) || t.After(last) {
		return t, &misuse{message: "not a time at which a message can be stored", remedy: "write one from the years 1678 to 2262"}
	}
	return t, nil
}
