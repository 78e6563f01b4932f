//go:build race

package commitlog_test

// How much a plain run of the simulations does: less, because the race detector makes it ten times slower.
const (
	defaultSeeds    = 200 // histories
	randomOutcomes  = 1   // of each crash point
	raceAllocations = 2   // that the race detector adds to a call
	flipsOfAByte    = 2
)
