//go:build !race

package metadata

const raceFactor = 1
