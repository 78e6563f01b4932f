//go:build mutants

package dedup

import (
	"os"
	"sync"
)

var chosenMutant = sync.OnceValue(func() string { return os.Getenv("TRESTLE_MUTANT") })

// mutant says whether this rule is the one to be broken; mutants.txt lists them.
func mutant(name string) bool { return name == chosenMutant() }
