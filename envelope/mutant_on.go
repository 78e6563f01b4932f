//go:build mutants

package envelope

import "os"

var chosen = os.Getenv("TRESTLE_MUTANT")

// mutant says whether the environment asks for that fault, so that a test may show that it is found.
func mutant(name string) bool { return chosen == name }
