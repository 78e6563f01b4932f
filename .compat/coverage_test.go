package compat

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every function and method that the client exports is called in the tests of this package: by name, so that a method that two of its
// types have counts for both.
func TestEveryMethodIsDriven(t *testing.T) {
	where, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/liftbridge-io/go-liftbridge/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	exported, called := map[string]bool{}, map[string]bool{}
	for _, file := range parse(t, strings.TrimSpace(string(where))+"/*.go") {
		if file.Name.Name != "liftbridge" {
			continue
		}
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && public(f) {
				exported[f.Name.Name] = true
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "Client" {
				for _, method := range spec.Type.(*ast.InterfaceType).Methods.List {
					exported[method.Names[0].Name] = true
				}
			}
			return true
		})
	}
	for _, file := range parse(t, "*_test.go") {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				called[s.Sel.Name] = true
			}
			return true
		})
	}
	if len(exported) < 100 {
		t.Fatalf("the client has %d functions and methods only", len(exported))
	}
	for name := range exported {
		if !called[name] {
			t.Errorf("%s is not driven", name)
		}
	}
}

// public says whether users of the package can call the function.
func public(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() || f.Recv == nil {
		return f.Name.IsExported()
	}
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	name, ok := of.(*ast.Ident)
	return ok && name.IsExported()
}

func parse(t *testing.T, pattern string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files: %s, %v", pattern, err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") != strings.HasSuffix(pattern, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
