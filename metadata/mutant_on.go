//go:build mutants

package metadata

import "os"

// mutant says whether the environment asks for that fault, so that a test may show that it is found.
func mutant(name string) bool { return os.Getenv("TRESTLE_MUTANT") == name }
