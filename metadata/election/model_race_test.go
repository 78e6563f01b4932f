//go:build race

package election_test

// The race detector has nothing to find in a search, which is one goroutine, and makes it ten times slower.
const (
	mostStates   = 20_000 // ends a search early
	findsMutants = false
)
