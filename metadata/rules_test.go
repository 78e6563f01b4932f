package metadata

import (
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every rule that the cluster rests on is named by a test: in its comment, in what it says when it fails, or in a scenario. S
// are invariants, C rules of the controller, R of replicas; a range names none of its rules.
func TestEveryRuleIsNamedByATest(t *testing.T) {
	t.Parallel()
	named := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "..":
			return fs.SkipDir
		case d.IsDir() || d.Name() == "rules_test.go":
			return nil
		case strings.HasSuffix(path, "_test.go"), strings.Contains(filepath.ToSlash(path), "testdata/scenarios/"):
			return countRules(path, named)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for letter, last := range map[string]int{"S": 15, "C": 9, "R": 10} {
		for n := range last {
			if rule := fmt.Sprint(letter, n+1); named[rule] == 0 {
				t.Errorf("no test names rule %s; write one that fails when it is broken, and name the rule in its comment", rule)
			}
		}
	}
	t.Logf("files that name each rule: %v", named)
}

var (
	ruleName  = regexp.MustCompile(`\b[SCR][1-9][0-9]?\b`)
	ruleRange = regexp.MustCompile(`\b([SCR])[0-9]+ (to|–) [SCR]?[0-9]+\b`)
)

// countRules adds one for each rule that the file names.
func countRules(path string, named map[string]int) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(source)
	if strings.HasSuffix(path, ".go") {
		text = commentsAndStrings(source)
	}
	seen := map[string]bool{}
	for _, rule := range ruleName.FindAllString(ruleRange.ReplaceAllString(text, ""), -1) {
		if !seen[rule] {
			seen[rule] = true
			named[rule]++
		}
	}
	return nil
}

// commentsAndStrings is what a source says in words: names of variables are not meant.
func commentsAndStrings(source []byte) string {
	files := token.NewFileSet()
	var s scanner.Scanner
	s.Init(files.AddFile("", files.Base(), len(source)), source, nil, scanner.ScanComments)
	var words strings.Builder
	for {
		_, kind, literal := s.Scan()
		switch kind {
		case token.EOF:
			return words.String()
		case token.COMMENT, token.STRING:
			words.WriteString(literal + "\n")
		}
	}
}
