package main

import (
	"os"
	"runtime"
)

// heapReserve is memory that is asked for and never used: the system gives no page of it, but Go, which collects garbage
// whenever the heap has doubled, counts it. NATS makes garbage for each message, and the heap of a quiet server has a few
// megabytes: without a reserve a burst is collected dozens of times a second, for up to a tenth of the CPU. So the heap
// may grow by this much, and by what it holds, before it is collected.
const heapReserve = 64 << 20

// reserveHeap reserves until it is released. Whoever sets GOGC or GOMEMLIMIT has decided for himself.
func reserveHeap() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	reserve := make([]byte, heapReserve)
	return func() { runtime.KeepAlive(reserve) }
}
