// Package simulation proves the protocol before there is a network: a whole cluster in one goroutine, from one seed.
//
// The parts are the real ones: the arithmetic of replication, the metadata and its commands, the rings that match what
// replicas hear, the commit log on a file system in memory that crashes. What is modelled is what lies between them: clocks,
// connections, NATS, and the order in which raft decides. Every step is an event with a time; which events there are, and
// when, follows from the seed, so a failing seed replays exactly. DESIGN.md has the faults, the invariants and how to run it.
package simulation
