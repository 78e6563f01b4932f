package dedup

import "errors"

// ErrRebuild means that a state cannot be had, or cannot be trusted, from what there is: a snapshot that is damaged or
// written by a later version, or a log cut below what the state can undo. The remedy is a new State and the batches of
// the log since the window (and the longest idle time of producers) before its end, appended to it.
var ErrRebuild = errors.New("dedup state must be rebuilt from the log")
