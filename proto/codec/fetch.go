package codec

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields of trestle.v1.FetchResponse.
const (
	fetchPage       = 1
	fetchNextOffset = 2
)

// FetchResponse is trestle.v1.FetchResponse with the batches of its page as they lie in a segment file.
type FetchResponse struct {
	Page SubscribeResponse
	// NextOffset is the offset to start the next page from.
	NextOffset int64
}

func (r *FetchResponse) marshal() (mem.BufferSlice, error) {
	page, err := r.Page.marshal()
	if err != nil {
		return nil, fmt.Errorf("fetch response: %w", err)
	}
	head := protowire.AppendTag(make([]byte, 0, varintFieldLimit), fetchPage, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(page.Len()))
	tail := appendNonZero(nil, fetchNextOffset, uint64(r.NextOffset))
	return append(append(pieces(head), page...), pieces(tail)...), nil
}

func (r *FetchResponse) unmarshal(b []byte) error {
	*r = FetchResponse{}
	var page merged
	for at := 0; at < len(b); {
		f, n, err := nextField(b[at:])
		if err != nil {
			return fmt.Errorf("fetch response: byte %d: %w", at, err)
		}
		switch f.place {
		case place{fetchPage, protowire.BytesType}:
			err = page.add(f.bytes())
		case place{fetchNextOffset, protowire.VarintType}:
			r.NextOffset = int64(f.varint())
		}
		if err != nil {
			return fmt.Errorf("fetch response: field %d at byte %d: %w", f.number, at, err)
		}
		at += n
	}
	if err := r.Page.unmarshal(page.bytes); err != nil {
		return fmt.Errorf("fetch response: %w", err)
	}
	return nil
}
