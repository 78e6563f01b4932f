// Package metadata is the state of a cluster and the commands that change it: brokers, streams, partitions and who leads
// them. The state is immutable and pure: applying a command to it gives the next state and a result, the same on every
// broker, for any bytes, without a clock, chance, files or goroutines. See DESIGN.md.
package metadata
