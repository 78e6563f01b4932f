// Package election is the arithmetic of who may lead a partition: which replicas hold everything that was committed, as
// far as the controller knows, and which of them leads next. It is pure: no clock, no I/O, no state of its own. The
// controller applies it to metadata; the same code is what the model check in this package's tests searches. DESIGN.md
// states the rule and what was proven of it.
package election
