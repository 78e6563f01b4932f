package codec

import "google.golang.org/grpc/encoding"

// OverFirstInterface is the codec in a program where ordinary is all that is registered for protobuf.
func OverFirstInterface(ordinary encoding.Codec) encoding.CodecV2 {
	return codec{ordinary: firstInterface{ordinary}}
}
