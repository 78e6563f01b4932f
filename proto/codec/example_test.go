package codec_test

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// What is sent by hand is received by generated code.
func ExampleNew() {
	request := &codec.PublishRequest{Stream: "orders", Records: []byte("\x0a\x04\x12\x02hi")}
	slice, err := codec.New().Marshal(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	var generated trestlev1.PublishRequest
	if err := proto.Unmarshal(slice.Materialize(), &generated); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", generated.GetStream(), generated.GetRecords().GetRecords()[0].GetValue())
	// Output: orders: hi
}
