package node

import (
	"errors"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Addresses looks up the peer address of a node by its raft id; false if it does not know it. It must not block.
type Addresses func(id string) (address string, ok bool)

// addressBook finds nodes: what the broker knows comes first, then what the membership says, which is the address that
// the node had when it was added.
type addressBook struct {
	lookup Addresses
	// raft is set once it runs; until then nobody is called.
	raft atomic.Pointer[raft.Raft]
}

var _ raft.ServerAddressProvider = (*addressBook)(nil)

// ServerAddr returns the address in the form that [stream.Dial] takes.
func (b *addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if address := b.find(string(id)); address != "" {
		return serverAddress(address, string(id)), nil
	}
	return "", errors.New("no peer address is known")
}

// find returns "" for a node whose address nobody knows.
func (b *addressBook) find(id string) string {
	if b.lookup != nil {
		if address, ok := b.lookup(id); ok {
			return address
		}
	}
	if node := b.raft.Load(); node != nil {
		for _, server := range node.GetConfiguration().Configuration().Servers {
			if string(server.ID) == id {
				address, _, _ := splitServerAddress(server.Address)
				return address
			}
		}
	}
	return ""
}
