package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// collect returns the batches as text, and the error that ended them.
func collect(batches valueBatches) ([][]string, error) {
	var got [][]string
	for batch, err := range batches {
		if err != nil {
			return got, err
		}
		var texts []string
		for _, value := range batch {
			texts = append(texts, string(value))
		}
		got = append(got, texts)
	}
	return got, nil
}

func TestLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"nothing":         {"", nil},
		"one":             {"a\n", []string{"a"}},
		"no last feed":    {"a\nb", []string{"a", "b"}},
		"empty lines":     {"\n\na\n\n", []string{"", "", "a", ""}},
		"carriage return": {"a\r\nb\n", []string{"a\r", "b"}},
		"any bytes":       {"\x00\xff\n\x80", []string{"\x00\xff", "\x80"}},
	} {
		for _, slow := range []bool{false, true} {
			var in io.Reader = strings.NewReader(test.text)
			if slow {
				in = iotest.OneByteReader(in)
			}
			got, err := collect(lineBatches(in, 32))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, slices.Concat(got...)); diff != "" {
				t.Errorf("%s, slow %t (-want +got):\n%s", name, slow, diff)
			}
		}
	}
}

// TestEmptyLineIsAValue: not nil, which would be no value.
func TestEmptyLineIsAValue(t *testing.T) {
	t.Parallel()
	for batch := range lineBatches(strings.NewReader("\n"), 0) {
		if len(batch) != 1 || batch[0] == nil {
			t.Errorf("got %#v, want one empty value", batch)
		}
	}
}

// TestLinesAsTheyCome: what has come is published before more is waited for.
func TestLinesAsTheyCome(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	got := make(chan []string)
	ended := make(chan error, 1)
	go func() {
		for batch, err := range lineBatches(r, 32) {
			if err != nil {
				ended <- err
				return
			}
			var texts []string
			for _, value := range batch {
				texts = append(texts, string(value))
			}
			got <- texts
		}
		ended <- nil
	}()
	for _, step := range []struct {
		write string
		want  []string
	}{{"a\nb\nc", []string{"a", "b"}}, {"d\n", []string{"cd"}}, {"e\n", []string{"e"}}} {
		if _, err := io.WriteString(w, step.write); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, <-got); diff != "" {
			t.Errorf("after %q (-want +got):\n%s", step.write, diff)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestBatchesStayBelowTheLimit: of 1000 messages, and of 512 KiB, but for a message that is larger by itself.
func TestBatchesStayBelowTheLimit(t *testing.T) {
	t.Parallel()
	const overhead = 100
	sizes := []int{1, 10, 400 << 10, 200 << 10, 5, 600 << 10, 700 << 10, 3}
	for range 2500 {
		sizes = append(sizes, 7)
	}
	var text bytes.Buffer
	for _, n := range sizes {
		text.Write(bytes.Repeat([]byte("x"), n))
		text.WriteByte('\n')
	}
	var got []int
	largest := 0
	for batch, err := range lineBatches(&text, overhead) {
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, value := range batch {
			size += len(value) + overhead
			got = append(got, len(value))
		}
		if len(batch) > batchMessages || size > batchBytes && len(batch) > 1 {
			t.Errorf("got a batch of %d messages and %d bytes", len(batch), size)
		}
		largest = max(largest, len(batch))
	}
	if !slices.Equal(got, sizes) {
		t.Errorf("got %d lines, want %d, in order", len(got), len(sizes))
	}
	if largest != batchMessages {
		t.Errorf("got batches of up to %d, want %d", largest, batchMessages)
	}
}

func TestRepeated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		size  int
		times int64
		want  []int // lengths of batches
	}{
		{1, 1, []int{1}}, {1, 2500, []int{1000, 1000, 500}}, {1 << 20, 3, []int{1, 1, 1}}, {200 << 10, 5, []int{2, 2, 1}}, {0, 2, []int{2}},
	} {
		var got []int
		for batch, err := range repeated(make([]byte, test.size), test.times, 32) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, len(batch))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%d bytes, %d times: got batches of %v, want %v", test.size, test.times, got, test.want)
		}
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	// A reader that would not end, were it read on.
	endless := io.MultiReader(strings.NewReader("fine\n"), zeros{})
	got, err := collect(lineBatches(endless, 32))
	if !errors.Is(err, errValueTooLong) || len(got) != 1 {
		t.Errorf("got %d batches and %v, want 1 and %v", len(got), err, errValueTooLong)
	}
	inv := &invocation{stdin: zeros{}}
	if _, err := inv.values(&pubFlags{}, []string{"orders", "-"}); !errors.Is(err, errValueTooLong) {
		t.Errorf("got %v, want %v", err, errValueTooLong)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestReadError(t *testing.T) {
	t.Parallel()
	failure := errors.New("the disk is gone")
	got, err := collect(lineBatches(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(failure)), 32))
	if !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
	if diff := cmp.Diff([][]string{{"a"}}, got); diff != "" {
		t.Errorf("half a line is no line (-want +got):\n%s", diff)
	}
}
