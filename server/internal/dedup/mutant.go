//go:build !mutants

package dedup

// mutant says whether a rule is to be broken on purpose: never, but in a build for the tests of the tests.
func mutant(string) bool { return false }
