// Package client talks to Trestle: it makes streams, publishes to them and reads them.
//
//	c, err := client.Connect(ctx, "localhost:9292")
//	...
//	defer c.Close()
//	orders, err := c.EnsureStream(ctx, client.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}})
//	...
//	ack, err := orders.Publish(ctx, []byte("hello"), client.Key("42"))
//	...
//	sub, err := orders.Subscribe(ctx, client.FromEarliest())
//	...
//	defer sub.Stop()
//	for m, err := range sub.Messages(ctx) {
//		...
//	}
//
// All ends are exclusive: a message with offset 17 is not read by one who reads until offset 17, and the next offset of
// a log that ends with it is 18.
//
// Errors say what failed, why and what to do. errors.Is tells their kinds apart ([ErrStreamNotFound], [ErrWrongOffset],
// …), and errors.As with *[Error] gives the reason and the names concerned. An error of publishing means that nothing
// was stored, except for [ErrOutcomeUnknown], which means that nobody knows.
package client
