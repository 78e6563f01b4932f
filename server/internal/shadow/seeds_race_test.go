//go:build race

package shadow

// defaultSeeds is how many histories a plain run looks at: the race detector makes each ten times slower.
const defaultSeeds = 200
