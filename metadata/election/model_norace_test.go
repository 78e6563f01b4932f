//go:build !race

package election_test

const (
	mostStates   = 60_000_000 // ends a search before it needs more memory than a machine has
	findsMutants = true
)
