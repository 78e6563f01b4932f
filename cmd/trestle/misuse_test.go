package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// nobody is an address at which no server can listen: whoever asked one would fail with 1.
const nobody = "127.0.0.1:1"

func TestMisuse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		env  []string
		want []string // in stderr, in order
	}{
		"unknown command":             {args: words("strem ls"), want: []string{`trestle has no command "strem"`, "did you mean: trestle stream"}},
		"unknown command, far off":    {args: words("frobnicate"), want: []string{"the commands are", "stream", "sub"}},
		"command not built":           {args: words("export orders a"), want: []string{`trestle has no command "export"`}},
		"a short word, far off":       {args: words("foo"), want: []string{`trestle has no command "foo"`, "the commands are"}},
		"bench of nothing":            {args: words("bench latenxy"), want: []string{`trestle bench has no command "latenxy"`}},
		"bench of tiny messages":      {args: words("bench latency --size 7"), want: []string{`--size "7"`, "8 or more"}},
		"bench vs nobody":             {args: words("bench vs kafka"), want: []string{"compare with what?", "core, jetstream or liftbridge"}},
		"bench vs no program":         {args: words("bench vs liftbridge"), want: []string{"--program FILE", "usage: trestle bench vs core|jetstream|liftbridge"}},
		"bench vs unknown contest":    {args: words("bench vs jetstream --only speed"), want: []string{`--only "speed"`, "capture,publish,read,single,latency"}},
		"bench listeners":             {args: words("bench publish --listeners 1"), want: []string{"--listeners hear nothing without --fanout"}},
		"bench vs listeners":          {args: words("bench vs jetstream --listeners 1"), want: []string{"--listeners", "--fanout"}},
		"bench vs without contest":    {args: words("bench vs core --only publish"), want: []string{"core has no such thing", "capture, latency"}},
		"bench of no messages":        {args: words("bench capture --messages 0"), want: []string{`--messages "0"`}},
		"bench with an argument":      {args: words("bench capture fast"), want: []string{"takes no argument"}},
		"cluster verb not built":      {args: words("cluster drain a"), want: []string{`trestle cluster has no command "drain"`}},
		"cursor without a command":    {args: words("cursor"), want: []string{"needs a command: get, ls, rm, set"}},
		"cursor set without offset":   {args: words("cursor set billing orders 0"), want: []string{"needs an ID, a STREAM, a PARTITION, an OFFSET, got 3"}},
		"cursor set at a bad offset":  {args: words("cursor set billing orders 0 x"), want: []string{`OFFSET "x"`, "not an offset"}},
		"cursor get, bad partition":   {args: words("cursor get billing orders x"), want: []string{`PARTITION "x"`, "numbered from 0"}},
		"cursor rm of an empty id":    {args: []string{"cursor", "rm", "", "orders", "0"}, want: []string{"needs an ID, got an empty one"}},
		"cursor ls without stream":    {args: words("cursor ls"), want: []string{"needs the name of a STREAM"}},
		"get without offset":          {args: words("get orders 0"), want: []string{"needs a STREAM, a PARTITION and an OFFSET, got 2"}},
		"get of a bad partition":      {args: words("get orders x 1"), want: []string{`PARTITION "x"`}},
		"get of a bad offset":         {args: words("get orders 0 first"), want: []string{`OFFSET "first"`, "write 17"}},
		"get of text in text":         {args: words("get orders 0 1 --utf8"), want: []string{"--utf8 goes with -o json"}},
		"edit without name":           {args: words("stream edit"), want: []string{"needs the NAME"}},
		"edit of nothing":             {args: words("stream edit orders"), want: []string{"needs a flag that says what to change"}},
		"edit to a bad subject":       {args: words("stream edit orders --subject a..b"), want: []string{`"a..b"`}},
		"rm without name":             {args: words("stream rm"), want: []string{"needs the NAME"}},
		"rm of two":                   {args: words("stream rm a b"), want: []string{`got "b" as well`}},
		"pause of a bad partition":    {args: words("stream pause orders --partition x"), want: []string{`--partition "x"`}},
		"resume without name":         {args: words("stream resume"), want: []string{"needs the NAME"}},
		"readonly without name":       {args: words("stream readonly --off"), want: []string{"needs the NAME"}},
		"a certificate without key":   {args: words("stream ls --tls-cert a.pem"), want: []string{"--tls-cert and --tls-key belong together"}},
		"status with an argument":     {args: words("cluster status a"), want: []string{"takes no argument"}},
		"stream without a command":    {args: words("stream"), want: []string{"needs a command: create, edit, export, import, info, ls, pause, purge, readonly, resume, rm"}},
		"stream with an unknown one":  {args: words("stream inof orders"), want: []string{"did you mean: trestle stream info"}},
		"purge two to an offset":      {args: words("stream purge orders --partition 0,1 --to offset=4"), want: []string{"needs one --partition, got 2"}},
		"purge to a cursor":           {args: words("stream purge orders --to cursor=a"), want: []string{"not a position", "latest, offset=N or time=T"}},
		"export to nowhere":           {args: words("stream export orders"), want: []string{"needs the NAME of a stream and a FILE", "example: trestle stream export orders orders.trestle"}},
		"export to two files":         {args: words("stream export orders a b"), want: []string{"takes two arguments", `got "b" as well`}},
		"import to a bad name":        {args: words("stream import .orders a"), want: []string{`NAME ".orders"`}},
		"unknown flag":                {args: words("stream create orders --subjects orders"), want: []string{"has no flag --subjects", "did you mean: trestle stream create --subject"}},
		"unknown flag, far off":       {args: words("sub orders --from-beginning"), want: []string{"has no flag --from-beginning", "usage: trestle sub STREAM", "example: trestle sub orders --from earliest"}},
		"unknown short flag":          {args: words("sub orders -n 3"), want: []string{"has no flag -n"}},
		"sub from no cursor":          {args: words("sub orders --from cursor="), want: []string{"not a position", "cursor=ID"}},
		"sub to a cursor":             {args: words("sub orders --to cursor=billing"), want: []string{"not a position"}},
		"flag without value":          {args: words("stream create orders --subject"), want: []string{"--subject needs a value", "write --subject SUBJECT"}},
		"create without name":         {args: words("stream create"), want: []string{"needs a NAME", "usage: trestle stream create NAME"}},
		"create without subject":      {args: words("stream create orders"), want: []string{"needs --subject", "trestle stream create orders --subject 'orders.>'"}},
		"create with two names":       {args: words("stream create a b --subject c"), want: []string{`got "b" as well`}},
		"create with a bad name":      {args: words("stream create a/b --subject c"), want: []string{`"a/b"`, "use 1 to 128 of"}},
		"create with a bad subject":   {args: words("stream create a --subject a..b"), want: []string{"--subject", `"a..b"`, "empty token", "dots"}},
		"create with NATS's subject":  {args: words("stream create a --subject $SYS.>"), want: []string{"is NATS's own"}},
		"create with a bad size":      {args: words("stream create a --subject a --segment-bytes 10XB"), want: []string{`--segment-bytes "10XB"`, "10MiB"}},
		"create with a bad duration":  {args: words("stream create a --subject a --retain-age soon"), want: []string{`--retain-age "soon"`, "7d"}},
		"create with no partitions":   {args: words("stream create a --subject a --partitions 0"), want: []string{`--partitions "0"`, "1 or more"}},
		"create with a bad sync":      {args: words("stream create a --subject a --sync always"), want: []string{`--sync "always"`, "ack, interval, none"}},
		"create with a bad rule":      {args: words("stream create a --subject a --partition-by token=0"), want: []string{"token=2"}},
		"create with a bad format":    {args: words("stream create a --subject a -o yaml"), want: []string{`-o "yaml"`, "text, json"}},
		"create with an empty name":   {args: []string{"stream", "create", "", "--subject", "a"}, want: []string{"needs a NAME"}},
		"info without name":           {args: words("stream info"), want: []string{"needs the NAME"}},
		"ls with two globs":           {args: words("stream ls a b"), want: []string{`got "b" as well`}},
		"ls with a bad glob":          {args: words("stream ls [a"), want: []string{`GLOB "[a"`, "not a pattern"}},
		"bad address":                 {args: words("stream ls --addr localhost"), want: []string{`--addr "localhost"`, "HOST:PORT"}},
		"bad address, port 0":         {args: words("stream ls --addr localhost:0"), want: []string{"HOST:PORT"}},
		"bad address, second":         {args: words("stream ls --addr a:1,b"), want: []string{"HOST:PORT"}},
		"bad address in the env":      {args: words("stream ls"), env: []string{"TRESTLE_ADDR=x"}, want: []string{`TRESTLE_ADDR "x"`, "HOST:PORT"}},
		"pub without anything":        {args: words("pub"), want: []string{"needs a STREAM and a VALUE"}},
		"pub without value":           {args: words("pub orders"), want: []string{"needs a VALUE", "--lines"}},
		"pub of several values":       {args: words("pub orders hello world"), want: []string{`got "world" as well`, "quotes"}},
		"pub of lines and a value":    {args: words("pub orders hello --lines"), want: []string{"--lines reads values from stdin"}},
		"pub of lines, counted":       {args: words("pub orders --lines --count 3"), want: []string{"exclude each other"}},
		"pub of lines with one id":    {args: words("pub orders --lines --id a"), want: []string{"--id names one message"}},
		"pub of many with one id":     {args: words("pub orders a --count 3 --id a"), want: []string{"--id names one message"}},
		"pub with an empty id":        {args: []string{"pub", "orders", "a", "--id", ""}, want: []string{"--id is empty"}},
		"pub of nothing":              {args: words("pub orders a --count 0"), want: []string{`--count "0"`}},
		"pub with a bad header":       {args: words("pub orders a --header trace"), want: []string{"NAME:VALUE"}},
		"pub with a bad ack":          {args: words("pub orders a --ack some"), want: []string{"none, leader, all"}},
		"pub with a bad offset":       {args: words("pub orders a --expect -1"), want: []string{`--expect "-1"`}},
		"pub with a bad partition":    {args: words("pub orders a --partition x"), want: []string{`--partition "x"`, "numbered from 0"}},
		"pub of a dash":               {args: words("pub orders -5"), want: []string{"has no flag -5", "goes behind --", "usage: trestle pub STREAM"}},
		"pub on a pattern":            {args: words("pub orders a --subject orders.>"), want: []string{"wildcard"}},
		"pub that expects no answer":  {args: words("pub orders a --expect 1 --ack none"), want: []string{"--expect asks for an answer"}},
		"pub by two ways":             {args: words("pub orders a --round-robin --by-key"), want: []string{"exclude each other"}},
		"pub to one and in turn":      {args: words("pub orders a --round-robin --partition 1"), want: []string{"exclude each other"}},
		"pub expecting, in turn":      {args: words("pub orders a --round-robin --expect 1"), want: []string{"--expect needs one partition"}},
		"sub without stream":          {args: words("sub"), want: []string{"needs the name of a STREAM"}},
		"sub from a bad position":     {args: words("sub orders --from yesterday"), want: []string{`--from "yesterday"`, "ago=D"}},
		"sub from a bare offset":      {args: words("sub orders --from 17"), want: []string{"write offset=17"}},
		"sub from a bad offset":       {args: words("sub orders --from offset=-1"), want: []string{"not an offset", "offset=17"}},
		"sub from a bad time":         {args: words("sub orders --from time=2026-13-01"), want: []string{"not a time in RFC 3339", "2026-01-31T18:00:00Z"}},
		"sub from a time too early":   {args: words("sub orders --from time=1677-01-01T00:00:00Z"), want: []string{"time=1677", "years 1678 to 2262"}},
		"sub from a time too late":    {args: words("sub orders --from time=3000-01-01T00:00:00Z"), want: []string{"time=3000", "years 1678 to 2262"}},
		"sub to a time too late":      {args: words("sub orders --to time=2262-04-12T00:00:00Z"), want: []string{"--to", "years 1678 to 2262"}},
		"sub to a start":              {args: words("sub orders --to earliest"), want: []string{`--to "earliest"`, "latest, offset=N or time=T"}},
		"sub from an offset of two":   {args: words("sub orders --partition 0,1 --from offset=3"), want: []string{"needs one --partition, got 2"}},
		"sub to an offset of two":     {args: words("sub orders --partition 0 --partition 1 --to offset=3"), want: []string{"needs one --partition, got 2"}},
		"sub of text in text":         {args: words("sub orders --utf8"), want: []string{"--utf8 goes with -o json"}},
		"sub of what is new, back":    {args: words("sub orders --reverse --from new"), want: []string{"cannot be read backwards"}},
		"sub to the latest, back":     {args: words("sub orders --reverse --to latest"), want: []string{"backwards", "--count"}},
		"sub of gaps in raw":          {args: words("sub orders --gaps -o raw"), want: []string{"--gaps does not go with -o raw"}},
		"sub of a bad pattern":        {args: words("sub orders --subject a.>.b"), want: []string{"goes on after >"}},
		"sub of no message":           {args: words("sub orders --count 0"), want: []string{`--count "0"`}},
		"server with an argument":     {args: words("server now"), want: []string{"takes no argument"}},
		"server beyond loopback":      {args: words("server --listen 0.0.0.0:0"), want: []string{"--listen 0.0.0.0:0", "--insecure"}},
		"server with a bad address":   {args: words("server --http nowhere"), want: []string{"--http", "HOST:PORT"}},
		"server with two kinds NATS":  {args: words("server --nats nats://a:4222 --nats-listen b:4222"), want: []string{"exclude each other"}},
		"server with a bad variable":  {args: words("server"), env: []string{"TRESTLE_INSECURE=perhaps"}, want: []string{`TRESTLE_INSECURE "perhaps"`}},
		"server beyond, in the env":   {args: words("server"), env: []string{"TRESTLE_LISTEN=0.0.0.0:0"}, want: []string{"--insecure"}},
		"server with half of TLS":     {args: words("server --tls-cert a.pem"), want: []string{"--tls-cert and --tls-key belong together"}},
		"server to join a cluster":    {args: words("server"), env: []string{"TRESTLE_JOIN=a:9294"}, want: []string{"TRESTLE_JOIN", "not built yet", "leave it out"}},
		"server with a bad cluster":   {args: words("server --cluster a/b"), want: []string{`: --cluster "a/b" contains '/'`}},
		"server with a bad id":        {args: []string{"server", "--id", "a b"}, want: []string{`: --id "a b" contains ' '`}},
		"server, bad id in the env":   {args: words("server"), env: []string{"TRESTLE_ID=a/b"}, want: []string{`: environment TRESTLE_ID: --id "a/b" contains '/'`}},
		"server, address in the env":  {args: words("server"), env: []string{"TRESTLE_LISTEN=9"}, want: []string{`environment TRESTLE_LISTEN: --listen "9" is not HOST:PORT`}},
		"demo with an argument":       {args: words("demo fast"), want: []string{"takes no argument"}},
		"version with an argument":    {args: words("version 1"), want: []string{"takes no argument"}},
		"version in raw":              {args: words("version -o raw"), want: []string{"text, json"}},
		"a flag of another command":   {args: words("version --addr 127.0.0.1:1"), want: []string{"has no flag --addr"}},
		"completion of no such shell": {args: words("completion tcsh"), want: []string{`no command "tcsh"`}},
		"completion without a shell":  {args: words("completion"), want: []string{"needs a command: bash, fish"}},
		"help on no such command":     {args: words("help stream foo"), want: []string{`trestle stream has no command "foo"`}},
		"help on a wrong command":     {args: words("help strem"), want: []string{`trestle has no command "strem"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t, append(test.env, "TRESTLE_DATA_DIR="+t.TempDir()), test.args...)
			if got.code != exitMisuse || got.stdout != "" {
				t.Errorf("got code %d, stdout %q, want %d and nothing", got.code, got.stdout, exitMisuse)
			}
			if !strings.HasPrefix(got.stderr, "error: ") {
				t.Errorf("got stderr %q, want error: …", got.stderr)
			}
			rest := got.stderr
			for _, want := range test.want {
				i := strings.Index(rest, want)
				if i < 0 {
					t.Fatalf("got stderr %q, want %q in it, in order", got.stderr, want)
				}
				rest = rest[i+len(want):]
			}
		})
	}
}

func TestMisuseAsJSON(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"behind the mistake":   words("stream create orders --subjects a -o json"),
		"before it":            words("stream create -ojson orders --subjects a"),
		"by its long name":     words("stream create --output=json orders --subjects a"),
		"long, in two":         words("stream create --output json orders --subjects a"),
		"short with an equals": words("stream create -o=json orders --subjects a"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t, nil, args...)
			if got.code != exitMisuse {
				t.Errorf("got code %d, want %d", got.code, exitMisuse)
			}
			const want = `{"error":{"reason":"MISUSE","message":"trestle stream create has no flag --subjects; ` +
				`did you mean: trestle stream create --subject","names":{"flag":"--subjects"}}}` + "\n"
			if got.stderr != want {
				t.Errorf("got  %swant %s", got.stderr, want)
			}
		})
	}
	if got := call(t, nil, "pub", "orders", "--", "-o", "json", "x"); !strings.HasPrefix(got.stderr, "error: ") {
		t.Errorf("got %q for a -o behind --, want text", got.stderr)
	}
}

// TestNobodyListens: the world says no, which is another exit code than misuse.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"stream create orders --subject orders", "stream ls", "stream info orders", "pub orders hello", "sub orders",
		"stream edit orders --retain-age 7d", "stream rm orders", "stream pause orders", "stream resume orders", "stream readonly orders",
		"get orders 0 1", "cursor set billing orders 0 1", "cursor get billing orders 0", "cursor ls orders", "cursor rm billing orders 0",
		"cluster status", "bench capture",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			args := words(command)
			got := call(t, []string{"TRESTLE_ADDR=" + nobody}, args...)
			if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, nobody) {
				t.Errorf("got %+v, want code %d and an error that names %s", got, exitFailed, nobody)
			}
			got = call(t, nil, append(args, "--addr", nobody, "-o", "json")...)
			answer, ok := decodeLine(t, got.stderr)["error"].(map[string]any)
			if !ok || got.code != exitFailed || answer["reason"] != "UNAVAILABLE" {
				t.Errorf("got %+v, want code %d and reason UNAVAILABLE", got, exitFailed)
			}
		})
	}
}

// TestStdinClosed: whoever reads stdin says that it cannot, before any server is asked.
func TestStdinClosed(t *testing.T) {
	t.Parallel()
	got := call(t, nil, "pub", "orders", "-", "--addr", nobody)
	if got.code != exitFailed || !strings.Contains(got.stderr, "read stdin") {
		t.Errorf("got %+v, want code %d and read stdin", got, exitFailed)
	}
}

func words(line string) []string { return strings.Fields(line) }

// decodeLine decodes exactly one line of JSON.
func decodeLine(t *testing.T, text string) map[string]any {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("got %q, want one line", text)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return object
}
