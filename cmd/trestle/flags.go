package main

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The types of this file are flag values: what they cannot read is misuse, found before any server is asked. Their
// Type is the word that stands for the value in help texts.

type sizeFlag int64

func (f *sizeFlag) Set(text string) (err error) {
	n, err := parseSize(text)
	*f = sizeFlag(n)
	return err
}

func (f *sizeFlag) String() string {
	if *f == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*f), 10)
}

func (f *sizeFlag) Type() string { return "SIZE" }

type durationFlag time.Duration

func (f *durationFlag) Set(text string) error {
	d, err := parseDuration(text)
	*f = durationFlag(d)
	return err
}

func (f *durationFlag) String() string {
	if *f == 0 {
		return ""
	}
	return formatDuration(time.Duration(*f))
}

func (f *durationFlag) Type() string { return "D" }

// countFlag is a whole number, at least least.
type countFlag struct {
	n     int64
	least int64
}

func (f *countFlag) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < f.least {
		return &misuse{
			message: "not a number of " + strconv.FormatInt(f.least, 10) + " or more",
			remedy:  "write a whole number, such as " + strconv.FormatInt(max(f.least, 10), 10),
		}
	}
	f.n = n
	return nil
}

func (f *countFlag) String() string {
	if f.n == 0 {
		return ""
	}
	return strconv.FormatInt(f.n, 10)
}

func (f *countFlag) Type() string { return "N" }

// choiceFlag takes one of a few words.
type choiceFlag struct {
	word  string
	words []string
}

func (f *choiceFlag) Set(text string) error {
	if !slices.Contains(f.words, text) {
		return &misuse{message: "no such choice", remedy: "write one of " + strings.Join(f.words, ", ")}
	}
	f.word = text
	return nil
}

func (f *choiceFlag) String() string { return f.word }
func (f *choiceFlag) Type() string   { return strings.Join(f.words, "|") }

// partitionsFlag collects partitions: --partition 0 --partition 2 and --partition 0,2 are alike.
type partitionsFlag []int

func (f *partitionsFlag) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		n, err := parsePartition(one)
		if err != nil {
			return err
		}
		if !slices.Contains(*f, n) {
			*f = append(*f, n)
		}
	}
	return nil
}

func (f *partitionsFlag) String() string {
	words := make([]string, len(*f))
	for i, n := range *f {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

func (f *partitionsFlag) Type() string { return "N" }

// partitionFlag is one partition.
type partitionFlag int

func (f *partitionFlag) Set(text string) error {
	n, err := parsePartition(text)
	*f = partitionFlag(n)
	return err
}

func (f *partitionFlag) String() string {
	if *f == 0 {
		return ""
	}
	return strconv.Itoa(int(*f))
}

func (f *partitionFlag) Type() string { return "N" }

func parsePartition(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, &misuse{message: "not a partition", remedy: "partitions are numbered from 0: write 0"}
	}
	return int(n), nil
}

// headersFlag collects headers; order and repetition are kept.
type headersFlag []headerPair

type headerPair struct{ name, value string }

// Set cuts at the first colon. The value is what stands behind it, spaces included.
func (f *headersFlag) Set(text string) error {
	name, value, ok := strings.Cut(text, ":")
	if !ok || name == "" || !utf8.ValidString(name) {
		return &misuse{message: "not a header", remedy: "write NAME:VALUE, such as Trace-Id:7f3a"}
	}
	*f = append(*f, headerPair{name, value})
	return nil
}

func (f *headersFlag) String() string {
	words := make([]string, len(*f))
	for i, h := range *f {
		words[i] = h.name + ":" + h.value
	}
	return strings.Join(words, " ")
}

func (f *headersFlag) Type() string { return "K:V" }
