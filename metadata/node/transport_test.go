package node

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// openTransport returns a transport without a raft behind it, as the node of that id.
func openTransport(t *testing.T, id string, known *directory) *transport {
	t.Helper()
	listener := listen(t)
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	layer := newStream(id, listener, dial)
	opened := newTransport(id, layer, &addressBook{lookup: known.find}, raftLogger{out: quiet()})
	known.put(id, listener.Addr().String())
	t.Cleanup(func() {
		_ = opened.Close()
		opened.CloseStreams()
		layer.wait()
	})
	return opened
}

// takesShortCut sends a heartbeat to a transport on which raft has installed its heartbeat handler, and tells whether
// the handler got it instead of the main loop.
func takesShortCut(t *testing.T, from, to raft.Transport, id string) bool {
	t.Helper()
	handled := make(chan raft.RPC, 1)
	to.SetHeartbeatHandler(func(call raft.RPC) { handled <- call })
	sent := make(chan error, 1)
	go func() {
		heartbeat := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a"), Addr: []byte("a")},
			Term:      7,
		}
		sent <- from.AppendEntries(raft.ServerID(id), "", heartbeat, new(raft.AppendEntriesResponse))
	}()
	short := false
	select {
	case call := <-to.Consumer():
		call.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
	case call := <-handled:
		short = true
		call.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
	case <-time.After(patience):
		t.Fatal("the heartbeat never arrived")
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return short
}

// Heartbeats go through raft's main loop (C8, hashicorp/raft #695).
func TestHeartbeatsTakeNoShortCut(t *testing.T) {
	known := &directory{}
	a, b := openTransport(t, "a", known), openTransport(t, "b", known)
	if takesShortCut(t, a, b, "b") {
		t.Error("a heartbeat went past raft's main loop")
	}
	// The test sees the fault where it is.
	if !takesShortCut(t, a, b.NetworkTransport, "b") {
		t.Error("raft's own transport passes as well")
	}
}

// Pre-vote is on: raft asks the transport's type for it.
func TestPreVoteIsKept(t *testing.T) {
	var a any = openTransport(t, "a", &directory{})
	if _, ok := a.(raft.WithPreVote); !ok {
		t.Error("raft would do without pre-vote")
	}
}

// A message for one node is never answered by another one at its address.
func TestAnotherNodeAtTheAddress(t *testing.T) {
	known := &directory{}
	a, b := openTransport(t, "a", known), openTransport(t, "b", known)
	address, _ := known.find("b")
	known.put("c", address)
	err := a.RequestVote("c", "", &raft.RequestVoteRequest{Term: 1}, new(raft.RequestVoteResponse))
	if err == nil {
		t.Error("b has answered for c")
	}
	select {
	case call := <-b.Consumer():
		t.Errorf("b was asked %v in place of c", call.Command)
	default:
	}
}

// A node calls itself and others by raft id, which no other node ever has.
func TestNodesAreCalledByID(t *testing.T) {
	a := openTransport(t, "a", &directory{})
	if a.LocalAddr() != "a" || string(a.EncodePeer("b", "127.0.0.1:1")) != "b" {
		t.Errorf("%s, %s", a.LocalAddr(), a.EncodePeer("b", "127.0.0.1:1"))
	}
}
