//go:build !race

package shadow

// defaultSeeds is how many histories a plain run looks at.
const defaultSeeds = 3000
