//go:build race

package capture

// mostAllocations of reading a hundred messages: under the race detector pools lose things at random.
const mostAllocations = 50
