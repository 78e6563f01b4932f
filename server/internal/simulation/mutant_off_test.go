//go:build !mutants

package simulation_test

// mutant says whether the named deliberate fault is to be made; without the build tag none is.
func mutant(string) bool { return false }
