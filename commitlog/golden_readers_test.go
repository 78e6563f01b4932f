package commitlog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

var checkReaders = flag.Bool("readers", false, "read the segment files named as arguments, else the golden ones, with protoc and Node")

const (
	protoFolder = "../proto"
	nodeReader  = "../proto/examples/node-reader/read.mjs"
)

// TestReaders holds what protoc and Node make of segment files against what Go makes of them: the decoded message,
// encoded again, is the same bytes, and what the Node reader prints is the same values.
func TestReaders(t *testing.T) {
	t.Parallel()
	skipUnlessAsked(t)
	files := flag.Args()
	if len(files) == 0 {
		files = goldenPaths(t)
	}
	for _, path := range files {
		t.Run(filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			file := readFile(t, path)
			sound := soundPart(file)
			message := decodeSegment(t, sound)
			byGo, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			text := mustRun(t, sound, "protoc", protocArguments("--decode")...)
			byProtoc := mustRun(t, text, "protoc", protocArguments("--encode")...)
			copied := saveCopy(t, file) // the server may be appending to the file itself
			byNode := mustRun(t, nil, "node", nodeReader, "--reencode", copied)
			if !bytes.Equal(byProtoc, byGo) || !bytes.Equal(byNode, byGo) {
				t.Errorf("encoded again, sha256: %x by protoc, %x by Node, %x by Go",
					sha256.Sum256(byProtoc), sha256.Sum256(byNode), sha256.Sum256(byGo))
			}
			lines := mustRun(t, nil, "node", nodeReader, copied)
			if diff := cmp.Diff(printable(valuesOfMessage(t, message)), valuesOfLines(t, lines)); diff != "" {
				t.Errorf("Node prints -want +got:\n%s", diff)
			}
			compareText(t, path, text)
			t.Logf("%d batches in %d of %d bytes; protoc, Node and Go encode them again as sha256 %x",
				len(message.GetBatches()), len(sound), len(file), sha256.Sum256(byGo))
		})
	}
}

func TestReadersFindFlippedByte(t *testing.T) {
	t.Parallel()
	skipUnlessAsked(t)
	file := readFile(t, goldenPaths(t)[0])
	untouched := mustRun(t, file, "protoc", protocArguments("--decode")...)
	const firstBatch, footer = 75, 74
	for _, place := range []struct {
		name string
		at   int
	}{
		{"length of a batch", firstBatch + 1},
		{"body crc", firstBatch + 16},
		{"seq", firstBatch + 36},
		{"key of a record", bytes.Index(file, []byte("order-1"))},
		{"value of the last record that is not packed", bytes.LastIndex(file, []byte("999"))},
		{"segment header", 20},
		{"digest in the footer", len(file) - footer + 60},
	} {
		t.Run(place.name, func(t *testing.T) {
			t.Parallel()
			flipped := bytes.Clone(file)
			flipped[place.at] ^= 0x10
			_, err := run(t, nil, "node", nodeReader, saveCopy(t, flipped))
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("Node reader ends with %v, want exit status 1", err)
			}
			text, err := run(t, flipped, "protoc", protocArguments("--decode")...)
			if err == nil && bytes.Equal(text, untouched) {
				t.Error("protoc does not see the difference")
			}
		})
	}
}

func skipUnlessAsked(t *testing.T) {
	t.Helper()
	if !*checkReaders {
		t.Skip("needs protoc and Node: make check-readers")
	}
}

func goldenPaths(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(goldenFolder, "*", "*.seg"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden segments: %v", err)
	}
	return paths
}

func protocArguments(mode string) []string {
	return []string{mode + "=trestle.v1.Batches", "-I", protoFolder, "trestle/v1/log.proto"}
}

// protocText is what protoc makes of a segment file.
func protocText(t *testing.T, file []byte) []byte {
	t.Helper()
	return mustRun(t, soundPart(file), "protoc", protocArguments("--decode")...)
}

// compareText compares the text with the one committed beside a golden segment.
func compareText(t *testing.T, path string, text []byte) {
	t.Helper()
	want, err := os.ReadFile(textName(path))
	if errors.Is(err, os.ErrNotExist) && len(flag.Args()) > 0 {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("protoc decodes -want +got:\n%s", diff)
	}
}

func saveCopy(t *testing.T, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.seg")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustRun(t *testing.T, stdin []byte, name string, arguments ...string) []byte {
	t.Helper()
	out, err := run(t, stdin, name, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t *testing.T, stdin []byte, name string, arguments ...string) ([]byte, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if stderr.Len() > 0 {
		t.Logf("%s: %s", name, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, err
}

// printable is as much of the values as the Node reader prints.
func printable(values []value) []value {
	var printed []value
	for _, v := range values {
		p := value{Offset: v.Offset, Time: v.Time, Record: v.Record, Control: v.Control}
		if v.Control != nil {
			p.Seq = v.Seq
		} else {
			p.Attributes = v.Attributes & batch.Encrypted
		}
		printed = append(printed, p)
	}
	return printed
}

// line is an object that the Node reader prints.
type line map[string]json.RawMessage

func valuesOfLines(t *testing.T, lines []byte) []value {
	t.Helper()
	var values []value
	for text := range bytes.Lines(lines) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		values = append(values, l.value(t))
	}
	return values
}

func (l line) value(t *testing.T) value {
	t.Helper()
	appended, err := time.Parse(time.RFC3339Nano, l.text(t, "time"))
	if err != nil {
		t.Fatal(err)
	}
	v := value{Offset: l.number(t, "offset"), Time: appended.UnixNano()}
	if control, ok := l["control"]; ok {
		var message trestlev1.Control
		if err := protojson.Unmarshal(control, &message); err != nil {
			t.Fatal(err)
		}
		v.Seq, v.Control = uint64(l.number(t, "seq")), controlOf(&message)
		return v
	}
	if _, ok := l["encrypted"]; ok {
		v.Attributes = batch.Encrypted
	}
	_, tombstone := l["tombstone"]
	v.Record = &batch.Record{
		Key: l.bytes(t, "key"), Value: l.bytes(t, "value"), Subject: l.bytes(t, "subject"), Reply: l.bytes(t, "reply"),
		Tombstone: tombstone,
	}
	l.decode(t, "schema_id", &v.Record.SchemaID)
	var headers []line
	l.decode(t, "headers", &headers)
	for _, h := range headers {
		v.Record.Headers = append(v.Record.Headers, batch.HeaderField{Name: h.bytes(t, "name"), Value: h.bytes(t, "value")})
	}
	return v
}

func (l line) decode(t *testing.T, name string, into any) {
	t.Helper()
	if content, ok := l[name]; ok {
		if err := json.Unmarshal(content, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func (l line) text(t *testing.T, name string) string {
	t.Helper()
	var s string
	l.decode(t, name, &s)
	return s
}

func (l line) number(t *testing.T, name string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(l.text(t, name), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// bytes are nil where the line has neither text nor base64 under the name.
func (l line) bytes(t *testing.T, name string) []byte {
	t.Helper()
	if _, ok := l[name]; ok {
		return []byte(l.text(t, name))
	}
	if _, ok := l[name+"_base64"]; !ok {
		return nil
	}
	content, err := base64.StdEncoding.DecodeString(l.text(t, name+"_base64"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return content
}
