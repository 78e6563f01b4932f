//go:build !race

package commitlog_test

// How much a plain run of the simulations does.
const (
	defaultSeeds    = 2000 // histories
	randomOutcomes  = 4    // of each crash point
	raceAllocations = 0    // that the race detector adds to a call
	flipsOfAByte    = 4
)
