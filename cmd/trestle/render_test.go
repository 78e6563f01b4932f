package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
)

var renderedTime = time.Date(2026, 1, 31, 18, 0, 0, 120, time.UTC)

func header(name, value string) client.HeaderField {
	return client.HeaderField{Name: name, Value: []byte(value)}
}

// renderedMessages are messages with something in each that is not plain.
func renderedMessages() []client.Message {
	full := client.Message{
		Stream: "orders", Partition: 2, Offset: 17, Time: renderedTime, Subject: "orders.>&<42", Reply: "answers.1",
		Key: []byte("k 1"), Value: []byte(`{"id":42}`),
		Headers: []client.HeaderField{header("Trace-Id", "7f3a"), header("Other", ""), header("Trace-Id", "9c41")},
	}
	bare := client.Message{Stream: "orders", Time: renderedTime}
	empty := bare
	empty.Offset, empty.Key, empty.Value = 1, []byte{}, []byte{}
	tombstone := bare
	tombstone.Offset, tombstone.Subject, tombstone.Key, tombstone.Tombstone = 2, "orders.1", []byte("42"), true
	binary := client.Message{
		Stream: "orders", Offset: 3, Time: renderedTime.Add(time.Second), Subject: "orders.\xff", Reply: "\xfe",
		Key: []byte("\x80key"), Value: []byte("\x00\xff\n\"value\""),
		Headers: []client.HeaderField{header("Bin", "\xff"), header("Text", "a\tb"), header("N\xff", "x"), header("Bin", "fine")},
	}
	text := bare
	text.Offset, text.Subject, text.Value = 4, "orders.ü", []byte("Grüße\u2028\U0001f600\n\x1b[31m")
	return []client.Message{full, bare, empty, tombstone, binary, text}
}

func TestMessagesGolden(t *testing.T) {
	t.Parallel()
	plain, utf8Mode, text := messageJSON{}, messageJSON{utf8: true}, messageText{}
	var plainLines, utf8Lines, textLines []byte
	for _, m := range renderedMessages() {
		plainLines = plain.append(plainLines, &m)
		utf8Lines = utf8Mode.append(utf8Lines, &m)
		textLines = text.append(textLines, &m)
	}
	golden(t, "messages.json", string(plainLines))
	golden(t, "messages-utf8.json", string(utf8Lines))
	golden(t, "messages.txt", string(textLines))
	for name, lines := range map[string][]byte{"json": plainLines, "utf8": utf8Lines, "text": textLines} {
		if got, want := strings.Count(string(lines), "\n"), len(renderedMessages()); got != want {
			t.Errorf("%s: got %d lines, want %d", name, got, want)
		}
	}
}

// TestMessageJSONLosesNothing reads the JSON as a script would and finds every byte.
func TestMessageJSONLosesNothing(t *testing.T) {
	t.Parallel()
	for _, utf8Mode := range []bool{false, true} {
		r := messageJSON{utf8: utf8Mode}
		for _, m := range renderedMessages() {
			object := decodeLine(t, string(r.append(nil, &m)))
			bytesOf := func(name string, encoded bool) any {
				if text, ok := object[name+"_base64"].(string); ok {
					return fromBase64(t, text)
				}
				text, ok := object[name].(string)
				if !ok {
					return object[name]
				}
				if encoded {
					return fromBase64(t, text)
				}
				return text
			}
			content := func(b []byte) any {
				if b == nil {
					return nil
				}
				return string(b)
			}
			optional := func(s string) any {
				if s == "" {
					return nil
				}
				return s
			}
			got := []any{bytesOf("subject", false), bytesOf("reply", false), bytesOf("key", !utf8Mode), bytesOf("value", !utf8Mode)}
			want := []any{optional(m.Subject), optional(m.Reply), content(m.Key), content(m.Value)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("utf8 %t, offset %d (-want +got):\n%s", utf8Mode, m.Offset, diff)
			}
			wantHeaders := map[string][]string{}
			for _, h := range m.Headers {
				wantHeaders[h.Name] = append(wantHeaders[h.Name], string(h.Value))
			}
			if diff := cmp.Diff(wantHeaders, headersOf(t, object, utf8Mode)); diff != "" {
				t.Errorf("utf8 %t, offset %d: headers (-want +got):\n%s", utf8Mode, m.Offset, diff)
			}
			if object["timestamp"] != formatTime(m.Time) || object["offset"] != float64(m.Offset) || object["partition"] != float64(m.Partition) {
				t.Errorf("got %v, want time, offset and partition of %+v", object, m)
			}
		}
	}
}

func headersOf(t *testing.T, object map[string]any, utf8Mode bool) map[string][]string {
	t.Helper()
	headers := map[string][]string{}
	for name, values := range object["headers"].(map[string]any) {
		for _, value := range values.([]any) {
			text := value.(string)
			if !utf8Mode {
				text = fromBase64(t, text)
			}
			headers[name] = append(headers[name], text)
		}
	}
	inBase64, _ := object["headers_base64"].(map[string]any)
	for name, values := range inBase64 {
		for _, value := range values.([]any) {
			name := fromBase64(t, name)
			headers[name] = append(headers[name], fromBase64(t, value.(string)))
		}
	}
	return headers
}

func fromBase64(t *testing.T, text string) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func FuzzJSONString(f *testing.F) {
	for _, seed := range []string{"", "orders.>", "\"\\\n\t\r\x00\x1f\x7f", "ü\u2028\U0001f600", "\xff\xfe", "a\xf0\x9f\x98", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got string
		if err := json.Unmarshal(appendJSONString(nil, text), &got); err != nil {
			t.Fatalf("%v in %q", err, appendJSONString(nil, text))
		}
		// What is not UTF-8 is U+FFFD, one a byte, as encoding/json has it.
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(encoded, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func renderedStream() client.StreamInfo {
	return client.StreamInfo{
		Config: client.StreamConfig{
			Name: "orders", Subjects: []string{"orders.>", "login.*"}, Partitions: 2, Replicas: 3, MinISR: 2,
			RetainAge: 7 * day, RetainBytes: client.None, RetainMessages: 1500000, SegmentBytes: 256 << 20, SegmentAge: day,
			Sync: client.SyncInterval, SyncInterval: 100 * time.Millisecond, Storage: client.StorageDisk,
			KeyHash: client.KeyHashMurmur3, DedupWindow: client.None, MaxMessageBytes: 8 << 20, QueueGroup: "workers",
			Fanout: true, Reply: client.ReplyPuback, Compact: true, RequireExpectedOffset: true,
			Compression: client.CompressionZstd, Labels: map[string]string{"team": "a", "area": "b"},
			PartitionBy: client.PartitionRule{Token: 2},
		},
		UUID: "0197f0a0-0000-7000-8000-000000000001", Revision: 4,
		Partitions: []client.PartitionInfo{
			{
				ID: 0, Leader: "a", Replicas: []string{"a", "b", "c"}, ISR: []string{"a", "b"}, LeaderEpoch: 7,
				Mode: client.ModeActive, LogStart: 10, NextOffset: 1010, HighWatermark: 1005, DurableOffset: 1008,
				Messages: 995, Bytes: 123456, Gaps: 1, LastGap: &client.Gap{
					Offset: -1, Cause: client.GapRestart, From: renderedTime, To: renderedTime.Add(time.Second), AtLeast: 3,
				},
			},
			{
				ID: 1, Leader: "b", Replicas: []string{"b"}, LeaderEpoch: 1<<64 - 1, Mode: client.ModeReadOnly,
				Messages: 5, Fault: `checksum of batch 3 is "wrong"`,
			},
		},
	}
}

func defaultStream() client.StreamInfo {
	return client.StreamInfo{
		Config: client.StreamConfig{
			Name: "orders", Subjects: []string{"orders.>"}, Partitions: 1, Replicas: 1, MinISR: 1,
			RetainAge: client.None, RetainBytes: client.None, RetainMessages: client.None, SegmentBytes: 256 << 20, SegmentAge: day,
			Sync: client.SyncAck, Storage: client.StorageDisk, KeyHash: client.KeyHashMurmur3, DedupWindow: 2 * time.Minute,
			MaxMessageBytes: 8 << 20, Reply: client.ReplyNone,
		},
		UUID:       "0197f0a0-0000-7000-8000-000000000002",
		Partitions: []client.PartitionInfo{{Leader: "a", Replicas: []string{"a"}, ISR: []string{"a"}, LeaderEpoch: 1, Mode: client.ModeActive}},
	}
}

func TestStreamsGolden(t *testing.T) {
	t.Parallel()
	full, plain := renderedStream(), defaultStream()
	existed, created := true, false
	lines := appendStreamJSON(nil, &full, nil)
	lines = appendStreamJSON(lines, &plain, &created)
	lines = appendStreamJSON(lines, &plain, &existed)
	golden(t, "streams.json", string(lines))
	for line := range strings.Lines(string(lines)) {
		decodeLine(t, line)
	}
	golden(t, "stream-info.txt", streamText(&full))
	golden(t, "stream-created.txt", createdText(&plain, false))
	golden(t, "stream-existed.txt", createdText(&plain, true))
	golden(t, "stream-changed.txt", changedText(&full))
	golden(t, "stream-deleted.txt", deletedText(&full)+string(deletedJSON(&full)))
	golden(t, "stream-modes.txt", modeText(&full)+modeText(&plain))
	golden(t, "stream-ls.txt", streamTable([]client.StreamInfo{full, plain}, ""))
	if plain.Config.Partitions = 3; !strings.Contains(createdText(&plain, false), "  partitions  3, plain messages to partition 0 (see --partition-by), keys by murmur3\n") {
		t.Errorf("got %q, want where plain messages go", createdText(&plain, false))
	}
	if got := streamTable(nil, "x*"); got != "no stream matches x*\n" {
		t.Errorf("got %q for a glob without a match", got)
	}
	if got := streamTable(nil, ""); !strings.Contains(got, "trestle stream create") {
		t.Errorf("got %q for no streams, want what to type next", got)
	}
}

func TestClusterGolden(t *testing.T) {
	t.Parallel()
	info := client.ServerInfo{
		Version: "v1.2.3", ID: "a", Cluster: "trestle", ClusterUUID: "7b1f4a3e-4f0c-4d50-9d4e-5a4ac7d2f0aa",
		GRPCAddress: "127.0.0.1:9292", HTTPAddress: "127.0.0.1:9293", NATSURL: "nats://127.0.0.1:4222",
		Limits:           client.Limits{MessageBytes: 64 << 20, BatchBytes: 1 << 20, InFlightBytes: 256 << 20},
		Brokers:          []client.BrokerInfo{{Name: "a", Address: "127.0.0.1:9292", Live: true}, {Name: "longer", Address: "b:9292"}},
		MetadataRevision: 17,
	}
	golden(t, "cluster-status.txt", clusterText(&info))
	golden(t, "cluster-status.json", string(clusterJSON(&info)))
}

func TestCursorsGolden(t *testing.T) {
	t.Parallel()
	cursors := []client.CursorInfo{
		{ID: "audit", Stream: "orders", NextOffset: 0, Time: renderedTime},
		{ID: "billing <&>", Stream: "orders", Partition: 12, NextOffset: 1234567, LeaderEpoch: 3, Time: renderedTime},
	}
	var lines []byte
	for i := range cursors {
		lines = appendCursorJSON(lines, &cursors[i])
	}
	golden(t, "cursors.json", string(lines))
	golden(t, "cursors.txt", cursorTable("orders", cursors)+cursorTable("orders", nil)+cursorText(&cursors[1]))
}

func TestAcks(t *testing.T) {
	t.Parallel()
	acks := []client.Ack{
		{Stream: "orders", Partition: 1, Offset: 17, Count: 1, Time: renderedTime, Durable: true},
		{Stream: "orders", Offset: 18, Count: 1, Time: renderedTime},
		{Stream: "orders", Offset: 3, Time: renderedTime, Duplicates: []client.Duplicate{{Offset: 3}}},
		{Stream: "orders", Partition: -1, Offset: -1},
	}
	var got string
	for i := range acks {
		got += ackText(&acks[i]) + string(appendAckJSON(nil, &acks[i]))
	}
	const want = `orders/1@17 stored and fsynced
{"stream":"orders","partition":1,"offset":17,"timestamp":"2026-01-31T18:00:00.000000120Z","duplicate":false}
orders/0@18 stored, not yet fsynced
{"stream":"orders","partition":0,"offset":18,"timestamp":"2026-01-31T18:00:00.000000120Z","duplicate":false}
orders/0@3 stored before: a duplicate, not stored again
{"stream":"orders","partition":0,"offset":3,"timestamp":"2026-01-31T18:00:00.000000120Z","duplicate":true}
orders: sent, no ack asked for
{"stream":"orders","partition":null,"offset":null,"timestamp":null,"duplicate":null}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPubSummary(t *testing.T) {
	t.Parallel()
	s := pubSummary{stream: "orders", spent: 1500 * time.Microsecond}
	s.add(&client.Ack{Partition: 1, Offset: 100, Count: 1000}, 1000)
	s.add(&client.Ack{Partition: 0, Offset: 7, Count: 1}, 1)
	s.add(&client.Ack{Partition: 1, Offset: 1103, Count: 498, Duplicates: make([]client.Duplicate, 2)}, 500)
	s.add(&client.Ack{Partition: 0, Offset: 7, Duplicates: make([]client.Duplicate, 1)}, 1)
	const text = "orders: 1,502 messages in 1.5ms, 3 of them duplicates that were not stored again, stored as orders/0@7 orders/1@100-1600\n"
	if got := s.text(); got != text {
		t.Errorf("got %q, want %q", got, text)
	}
	const asJSON = `{"stream":"orders","messages":1502,"duplicates":3,"partitions":[` +
		`{"id":0,"messages":1,"first_offset":7,"last_offset":7},{"id":1,"messages":1498,"first_offset":100,"last_offset":1600}]}` + "\n"
	if got := string(s.json()); got != asJSON {
		t.Errorf("got %q, want %q", got, asJSON)
	}
}

func TestGaps(t *testing.T) {
	t.Parallel()
	gap := client.Gap{Offset: 12, Cause: client.GapNATSDropped, From: renderedTime, To: renderedTime.Add(time.Second), AtLeast: 1200}
	const text = "gap (nats_dropped) from 2026-01-31T18:00:00.000000120Z to 2026-01-31T18:00:01.000000120Z: at least 1,200 messages before offset 12"
	if got := gapText(&gap); got != text {
		t.Errorf("got %q, want %q", got, text)
	}
	const asJSON = `{"gap":{"stream":"orders","partition":3,"offset":12,"cause":"nats_dropped",` +
		`"from":"2026-01-31T18:00:00.000000120Z","to":"2026-01-31T18:00:01.000000120Z","at_least":1200}}` + "\n"
	if got := string(appendGapJSON(nil, "orders", 3, &gap)); got != asJSON {
		t.Errorf("got %q, want %q", got, asJSON)
	}
	gap.AtLeast = 0
	if got := string(appendGapJSON(nil, "orders", 3, &gap)); !strings.Contains(got, `"at_least":null`) {
		t.Errorf("got %q, want null for nobody knows", got)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	answer := &client.Error{Reason: "STREAM_NOT_FOUND", Message: `no stream "a"; create it`, Names: map[string]string{"stream": "a", "by": "\xff"}}
	var b strings.Builder
	printFailure(&b, answer, false)
	printFailure(&b, answer, true)
	const want = "error: no stream \"a\"\n  create it\n" +
		`{"error":{"reason":"STREAM_NOT_FOUND","message":"no stream \"a\"; create it","names":{"by":"` + "\ufffd" + `","stream":"a"}}}` + "\n"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
