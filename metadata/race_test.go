//go:build race

package metadata

// raceFactor widens limits of time: the race detector slows code down.
const raceFactor = 20
