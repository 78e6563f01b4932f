package rpc

import (
	"google.golang.org/grpc/mem"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// lender lends gRPC the memory into which chunks are read, until they are written. The zero lender lends nothing: chunks have
// memory of their own.
type lender struct {
	buffers  *partition.Buffers
	giveBack func(memory *[]byte) // to buffers
}

func newLender() lender {
	buffers := &partition.Buffers{}
	return lender{buffers: buffers, giveBack: buffers.GiveBack}
}

// lend makes a buffer for gRPC of batches that lie in memory, which a reader gave away; nil: in memory of their own. The caller
// has one reference, gRPC others: memory goes back with the last of them.
//
// What grpc-go 1.85 does with its references: the transport has one from ServerStream.SendMsg (http2Server.write) until the last
// byte was copied into the buffer of the connection (loopyWriter.processData) or the stream is over (cleanupStreamHandler);
// SendMsg has one until it returns, also with an error, in which compression, binary logs and stats handlers look at the message.
// What is queued for a connection that breaks off may stay without being freed, and is garbage then. Only clients keep
// messages for retries. With grpc.EnableTracing, which nothing here sets, a message would be printed later.
func (l *lender) lend(batches []byte, memory *[]byte) mem.Buffer {
	if memory == nil {
		return mem.SliceBuffer(batches)
	}
	return mem.NewBuffer(&batches, &loan{lender: l, memory: memory})
}

// loan is the pool of a single buffer: mem.Buffer wants one to give back to. What is given back is not the batches, which need
// not begin where the memory does.
type loan struct {
	lender *lender
	memory *[]byte
}

// Put is called by gRPC once, when nobody has a reference any more.
func (l *loan) Put(*[]byte) { l.lender.giveBack(l.memory) }

// Get is not called: the buffer is there already.
func (l *loan) Get(n int) *[]byte { return new(make([]byte, n)) }
