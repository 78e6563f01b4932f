// Package node runs the hashicorp/raft node around the cluster's pure state machine: it orders commands, keeps them
// on this broker's disk and hands the committed ones to a [Machine], the same ones in the same order on every broker.
//
// A node says of every command that is proposed to it one of three things: it has been applied, with its result; it
// has not been and will never be (a definite no); or nobody knows ([ErrOutcomeUnknown]).
//
// Two known faults of hashicorp/raft are worked around in our transport and stores, and every byte that is read back
// from disk is checked. DESIGN.md beside this file has the guarantees, the crash cases and what was rejected.
package node
