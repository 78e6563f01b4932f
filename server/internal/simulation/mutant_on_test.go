//go:build mutants

package simulation_test

import "os"

var chosen = os.Getenv("TRESTLE_MUTANT")

// mutant says whether the named deliberate fault is to be made.
func mutant(name string) bool { return name == chosen }
