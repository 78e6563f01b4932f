package envelope_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/envelope"
)

// vectors is testdata/vectors.json, which says where its frames come from.
type vectors struct {
	About     []string          `json:"about"`
	Messages  []messageVector   `json:"messages"`
	Acks      []ackVector       `json:"acks"`
	Malformed []malformedVector `json:"malformed"`
}

type messageVector struct {
	Name        string             `json:"name"`
	Frame       hexBytes           `json:"frame"`
	Checksum    bool               `json:"checksum"`
	ReadOnly    bool               `json:"read_only"`
	Expect      int64              `json:"expect"`
	Key         hexBytes           `json:"key"`
	Value       hexBytes           `json:"value"`
	Headers     [][2]hexBytes      `json:"headers"`
	Inbox       text               `json:"inbox"`
	Correlation text               `json:"correlation"`
	Policy      envelope.AckPolicy `json:"policy"`
}

type ackVector struct {
	Name             string             `json:"name"`
	Frame            hexBytes           `json:"frame"`
	Checksum         bool               `json:"checksum"`
	Stream           text               `json:"stream"`
	PartitionSubject text               `json:"partition_subject"`
	Subject          text               `json:"subject"`
	Offset           int64              `json:"offset"`
	Inbox            text               `json:"inbox"`
	Correlation      text               `json:"correlation"`
	Policy           envelope.AckPolicy `json:"policy"`
	Received         int64              `json:"received"`
	Committed        int64              `json:"committed"`
	Error            envelope.AckError  `json:"error"`
}

type malformedVector struct {
	Name  string   `json:"name"`
	Frame hexBytes `json:"frame"`
	Error string   `json:"error"`
}

// hexBytes are hexadecimal in JSON.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(digits []byte) (err error) {
	*b = make([]byte, hex.DecodedLen(len(digits)))
	_, err = hex.Decode(*b, digits)
	return err
}

// text is a string in JSON.
type text []byte

func (b *text) UnmarshalText(s []byte) error {
	*b = bytes.Clone(s)
	return nil
}

func (v *messageVector) message() envelope.Message {
	m := envelope.Message{
		Key: v.Key, Value: v.Value, AckInbox: v.Inbox, CorrelationID: v.Correlation,
		AckPolicy: v.Policy, Expect: envelope.ExpectOffset(v.Expect), Checksum: v.Checksum,
	}
	for _, h := range v.Headers {
		m.Headers = append(m.Headers, envelope.Header{Name: h[0], Value: h[1]})
	}
	return m
}

func (v *ackVector) ack() envelope.Ack {
	return envelope.Ack{
		Stream: v.Stream, PartitionSubject: v.PartitionSubject, Subject: v.Subject, Offset: v.Offset, AckInbox: v.Inbox,
		CorrelationID: v.Correlation, AckPolicy: v.Policy, ReceptionTime: v.Received, CommitTime: v.Committed,
		Error: v.Error, Checksum: v.Checksum,
	}
}

func readVectors(tb testing.TB) vectors {
	tb.Helper()
	file, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var v vectors
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		tb.Fatal(err)
	}
	if len(v.Messages) == 0 || len(v.Acks) == 0 || len(v.Malformed) == 0 {
		tb.Fatal("testdata/vectors.json lacks a kind of vectors")
	}
	return v
}

// sentinels are the errors that readers return, by their names in the vectors.
func sentinels() map[string]error {
	return map[string]error{
		"not_envelope": envelope.ErrNotEnvelope,
		"unsupported":  envelope.ErrUnsupported,
		"checksum":     envelope.ErrChecksum,
		"malformed":    envelope.ErrMalformed,
		"too_large":    envelope.ErrTooLarge,
	}
}

// isKnown reports whether an error is one of those that readers may return.
func isKnown(err error) bool {
	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// exactly tells none from empty.
func exactly() cmp.Option {
	return cmp.Options{expectations(), cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })}
}

// upToEmpty makes no difference between none and empty.
func upToEmpty() cmp.Option {
	return cmp.Options{expectations(), cmp.Comparer(bytes.Equal)}
}

func expectations() cmp.Option {
	return cmp.Comparer(func(a, b envelope.Expectation) bool { return a == b })
}

func TestMessageVectors(t *testing.T) {
	for _, v := range readVectors(t).Messages {
		t.Run(v.Name, func(t *testing.T) {
			got, err := envelope.Parse(v.Frame)
			if err != nil {
				t.Fatal(err)
			}
			want := v.message()
			if diff := cmp.Diff(want, got, exactly()); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if v.ReadOnly {
				return
			}
			frame, err := want.Marshal()
			if err != nil || !bytes.Equal(frame, v.Frame) {
				t.Errorf("written %x, %v\nwant    %x", frame, err, v.Frame)
			}
		})
	}
}

func TestAckVectors(t *testing.T) {
	for _, v := range readVectors(t).Acks {
		t.Run(v.Name, func(t *testing.T) {
			got, err := envelope.ParseAck(v.Frame)
			if err != nil {
				t.Fatal(err)
			}
			want := v.ack()
			if diff := cmp.Diff(want, got, exactly()); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			frame, err := want.Marshal()
			if err != nil || !bytes.Equal(frame, v.Frame) {
				t.Errorf("written %x, %v\nwant    %x", frame, err, v.Frame)
			}
		})
	}
}

func TestMalformedVectors(t *testing.T) {
	for _, v := range readVectors(t).Malformed {
		t.Run(v.Name, func(t *testing.T) {
			want, ok := sentinels()[v.Error]
			if !ok {
				t.Fatalf("the vector wants the unknown error %q", v.Error)
			}
			m, err := envelope.Parse(v.Frame)
			if !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
			if diff := cmp.Diff(envelope.Message{}, m, exactly()); diff != "" {
				t.Errorf("an error with a message (-want +got):\n%s", diff)
			}
		})
	}
}

// The type of a frame decides which of the two reads it: never both.
func TestTypesAreNotMistaken(t *testing.T) {
	all := readVectors(t)
	for _, v := range all.Messages {
		if _, err := envelope.ParseAck(v.Frame); !errors.Is(err, envelope.ErrUnsupported) {
			t.Errorf("message %q read as an ack: %v", v.Name, err)
		}
	}
	for _, v := range all.Acks {
		if _, err := envelope.Parse(v.Frame); !errors.Is(err, envelope.ErrUnsupported) {
			t.Errorf("ack %q read as a message: %v", v.Name, err)
		}
	}
}
