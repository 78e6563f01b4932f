package batch_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// fullHeader has another value in every field.
func fullHeader() batch.Header {
	return batch.Header{
		Attributes:       batch.Captured | batch.Recovered | batch.HasMessageIDs | batch.Encrypted,
		RecordCount:      2,
		LastOffsetDelta:  1,
		Seq:              0x0102030405060708,
		BaseOffset:       0x1112131415161718,
		LeaderEpoch:      0x2122232425262728,
		Time:             0x3132333435363738,
		PreviousCRC:      0x41424344,
		PartitionTag:     0x51525354,
		ProducerID:       0x6162636465666768,
		ProducerEpoch:    0x71727374,
		ProducerSequence: 0x81828384,
		Body:             batch.BodyRecords,
	}
}

// TestLayout has the place, the tag and the value of every field as the package comment draws them.
func TestLayout(t *testing.T) {
	t.Parallel()
	h := fullHeader()
	body := encodeRecords(batch.Record{Value: []byte("a")}, batch.Record{Value: []byte("b")})
	h.BodyCRC = 0x91929394
	b := batch.Append([]byte("before"), &h, body)[len("before"):]
	for _, field := range []struct {
		at   int
		name string
		want string
	}{
		{0, "tag and length", "\x0a\xef\x80\x80\x00"}, // 101 bytes of header and 10 of body follow
		{5, "magic", "\x0dTR\x6a\x01"},
		{15, "body crc", "\x1d\x94\x93\x92\x91"},
		{20, "attributes", "\x25\x78\x00\x00\x00"},
		{25, "record count", "\x2d\x02\x00\x00\x00"},
		{30, "last offset delta", "\x35\x01\x00\x00\x00"},
		{35, "seq", "\x39\x08\x07\x06\x05\x04\x03\x02\x01"},
		{44, "base offset", "\x41\x18\x17\x16\x15\x14\x13\x12\x11"},
		{53, "leader epoch", "\x49\x28\x27\x26\x25\x24\x23\x22\x21"},
		{62, "time", "\x51\x38\x37\x36\x35\x34\x33\x32\x31"},
		{71, "previous crc", "\x5d\x44\x43\x42\x41"},
		{76, "partition tag", "\x65\x54\x53\x52\x51"},
		{81, "producer id", "\x69\x68\x67\x66\x65\x64\x63\x62\x61"},
		{90, "producer epoch", "\x75\x74\x73\x72\x71"},
		{95, "producer sequence", "\x7d\x84\x83\x82\x81"},
		{100, "body tag and length", "\x82\x01\x8a\x80\x80\x00"},
		{106, "body", string(body)},
	} {
		if got := string(b[field.at : field.at+len(field.want)]); got != field.want {
			t.Errorf("%s at byte %d: got %x, want %x", field.name, field.at, got, field.want)
		}
	}
	if b[10] != 0x15 {
		t.Errorf("tag of header crc: got %02x, want 15", b[10])
	}
	if len(b) != batch.HeaderSize+len(body) {
		t.Errorf("batch of %d bytes, want %d", len(b), batch.HeaderSize+len(body))
	}
}

// TestPicture holds the picture in the package comment against the bytes: places and tags, in order.
func TestPicture(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var places []int
	var tags []byte
	row := regexp.MustCompile(`^//\s+(?:byte  )?(\d+(?:\s+\d+)+)$`)
	cell := regexp.MustCompile(`│ (?:(tag) 0A|(body tag)|([0-9A-F]{2}) )`)
	for line := range strings.Lines(string(source)) {
		line = strings.TrimSpace(line)
		if m := row.FindStringSubmatch(line); m != nil {
			for _, number := range strings.Fields(m[1]) {
				place, err := strconv.Atoi(number)
				if err != nil {
					t.Fatal(err)
				}
				places = append(places, place)
			}
		}
		for _, m := range cell.FindAllStringSubmatch(line, -1) {
			switch {
			case m[1] != "":
				tags = append(tags, batch.Tag)
			case m[2] != "":
				tags = append(tags, 0x82)
			default:
				tag, err := strconv.ParseUint(m[3], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				tags = append(tags, byte(tag))
			}
		}
	}
	// The length has a cell but no tag, the body a place but no tag.
	const length, fields = 1, 15
	if len(places) != fields+4 || len(tags) != fields+2 {
		t.Fatalf("the picture has places %v and tags %x; want places of tag, length, %d fields, body tag and body", places, tags, fields)
	}
	if places[length] != 1 || places[len(places)-1] != batch.HeaderSize {
		t.Errorf("length at %d, body at %d; want 1, %d", places[length], places[len(places)-1], batch.HeaderSize)
	}
	tagged := append([]int{places[0]}, places[length+1:len(places)-1]...)
	b := build(nil, batch.Record{})
	for i, at := range tagged {
		if b[at] != tags[i] {
			t.Errorf("byte %d is %02x, the picture has a tag %02x there", at, b[at], tags[i])
		}
	}
}

func TestGeneratedCodeReadsTheHeader(t *testing.T) {
	t.Parallel()
	h := fullHeader()
	records := []batch.Record{{Value: []byte("a")}, {Value: []byte("b")}}
	body := encodeRecords(records...)
	h.BodyCRC = batch.Checksum(body)
	b := batch.Append(nil, &h, body)
	parsed := parse(t, b)
	want := h
	want.HeaderCRC, want.HeaderSize, want.Size = parsed.HeaderCRC, batch.HeaderSize, len(b)
	if diff := cmp.Diff(want, parsed); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	wantGenerated := &trestlev1.Batch{
		Magic:            'T' | 'R'<<8 | batch.HeaderSize<<16 | batch.Version<<24,
		HeaderCrc:        parsed.HeaderCRC,
		BodyCrc:          h.BodyCRC,
		Attributes:       uint32(h.Attributes),
		RecordCount:      h.RecordCount,
		LastOffsetDelta:  h.LastOffsetDelta,
		Seq:              h.Seq,
		BaseOffset:       h.BaseOffset,
		LeaderEpoch:      h.LeaderEpoch,
		Time:             h.Time,
		PreviousCrc:      h.PreviousCRC,
		PartitionTag:     h.PartitionTag,
		ProducerId:       h.ProducerID,
		ProducerEpoch:    h.ProducerEpoch,
		ProducerSequence: h.ProducerSequence,
		Body: &trestlev1.Batch_Records{Records: &trestlev1.Records{
			Records: []*trestlev1.Record{generated(&records[0]), generated(&records[1])},
		}},
	}
	if diff := cmp.Diff([]*trestlev1.Batch{wantGenerated}, decode(t, b), protocmp.Transform()); diff != "" {
		t.Errorf("generated code (-want +got):\n%s", diff)
	}
}

func TestGeneratedCodeReadsPackedBodies(t *testing.T) {
	t.Parallel()
	packed := []byte("\xff not protobuf")
	h := batch.Header{Attributes: batch.Zstd, RecordCount: 9, LastOffsetDelta: 8, Body: batch.BodyPacked, BodyCRC: batch.Checksum(packed)}
	b := batch.Append(nil, &h, packed)
	parsed := parse(t, b)
	if parsed.Body != batch.BodyPacked || parsed.Codec() != batch.Zstd || string(parsed.BodyOf(b)) != string(packed) {
		t.Errorf("Parse: got %+v, body %q", parsed, parsed.BodyOf(b))
	}
	if got := decode(t, b)[0].GetPacked(); string(got) != string(packed) {
		t.Errorf("generated code: got %q, want %q", got, packed)
	}
	if _, err := parsed.RecordsOf(b); err == nil {
		t.Error("RecordsOf a packed batch: no error")
	}
}
