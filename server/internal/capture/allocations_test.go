//go:build !race

package capture

// mostAllocations of reading a hundred messages.
const mostAllocations = 1
