// Package shadow is what every replica of a partition does with the NATS messages that it hears while another broker
// leads: a bounded ring keeps them, matches them with what the leader replicates, and says, once its replica leads, what is
// still to be appended and what may have been lost.
//
// It is arithmetic on its inputs: no I/O, no clock, no goroutine, no logger and no lock; its owner has those. Times are unix
// nanoseconds of this broker's clock, but for append times, which are of the leader's.
//
// The rule, what a simulation made of it, what is granted and what is not: DESIGN.md.
package shadow
