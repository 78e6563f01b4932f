package compat

import (
	"bufio"
	"flag"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var compareWith = flag.String("compare", "", "a Liftbridge to compare with: its differences must be those of the table")

// table lists how Liftbridge differs: one row for each test that it fails, with the test's name in backquotes, and "at times" behind
// it if it does not always fail.
const table = "../server/internal/liftbridge/DIFFERENCES.md"

// Liftbridge passes the suite but for the tests that the table explains, and fails those: a difference that is not in the table
// fails, and so does a row about what is no difference.
func TestDifferences(t *testing.T) {
	rows := listed(t)
	if *compareWith == "" {
		t.Skip("without a Liftbridge: make compat-liftbridge")
	}
	suite := exec.Command(os.Args[0], "-test.v", "-test.timeout", "15m", "-server", "liftbridge", "-binary", *compareWith)
	out, err := suite.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	suite.Stderr = os.Stderr
	if err := suite.Start(); err != nil {
		t.Fatal(err)
	}
	failed, passed, text := map[string]bool{}, 0, &strings.Builder{}
	verdict := regexp.MustCompile(`^ *--- (PASS|FAIL): (\S+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		switch m := verdict.FindStringSubmatch(lines.Text()); {
		case m == nil:
		case m[1] == "PASS":
			passed++
		default:
			failed[m[2]] = true
		}
	}
	_ = suite.Wait()                                         // fails with the tests
	maps.DeleteFunc(failed, func(name string, _ bool) bool { // for what failed below it
		return slices.ContainsFunc(slices.Collect(maps.Keys(failed)), func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
	for name := range failed {
		if _, ok := rows[name]; !ok {
			t.Errorf("Liftbridge fails %s, of which %s says nothing", name, table)
		}
	}
	for name, always := range rows {
		if always && !failed[name] {
			t.Errorf("%s has a row for %s, which Liftbridge does not fail", table, name)
		}
	}
	t.Logf("Liftbridge passes %d tests and fails %d", passed, len(failed))
	if t.Failed() {
		t.Log(text.String())
	}
}

// listed are the tests in the table, and whether Liftbridge always fails them.
func listed(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Test[^`]*)`( at times)?").FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = m[2] == ""
	}
	if len(rows) == 0 {
		t.Fatalf("no test is in %s", table)
	}
	return rows
}
