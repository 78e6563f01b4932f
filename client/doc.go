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
// # What is where
//
// A [Client] is a connection. A [Stream] is a handle on a stream, and nothing is asked of a server until it is used: it
// publishes ([Stream.Publish]), reads ([Stream.Subscribe], [Stream.Handle], [Stream.Get]) and changes the stream
// ([Stream.Update], [Stream.Pause]). A [Producer] publishes very many messages: it makes batches, keeps order, and sends
// again what a broken connection left open without storing it twice. A [Subscription] connects again and goes on where it
// was. A [Cursor] keeps on the server how far a reader has come. There is nothing to mock: package servertest starts a
// real broker within a test.
//
// All ends are exclusive: a message with offset 17 is not read by one who reads until offset 17, and the next offset of
// a log that ends with it is 18.
//
// Errors say what failed, why and what to do. errors.Is tells their kinds apart ([ErrStreamNotFound], [ErrWrongOffset],
// …), and errors.As with *[Error] gives the reason and the names concerned. An error of publishing means that nothing
// was stored, except for [ErrOutcomeUnknown], which means that nobody knows. [Stream.PublishEach] publishes a batch to each
// partition, and each fails by itself: the messages of a failed one have acks with offset -1, all others are stored. When the
// context of [Future.Ack] ends, its error means that the message is not settled yet; so it is with [Producer.Flush].
//
// # For those who come from Liftbridge
//
// What the readme of go-liftbridge shows is said here so:
//
//	lift.Connect([]string{"a:9292", "b:9292"})     client.Connect(ctx, "a:9292,b:9292")
//	lift.TLSCert, TLSConfig                        WithTLS
//	client.CreateStream(ctx, "foo", "foo-stream")  c.CreateStream(ctx, StreamConfig{Name: "foo-stream", Subjects: []string{"foo"}})
//	err == lift.ErrStreamExists                    errors.Is(err, ErrStreamExists); c.EnsureStream is content with it
//	lift.Group, Partitions, ReplicationFactor      QueueGroup, Partitions, Replicas of StreamConfig
//	lift.MaxReplication                            Replicas: len(info.Brokers) of c.Server
//	lift.RetentionMaxAge, …Bytes, …Messages        RetainAge, RetainBytes, RetainMessages
//	lift.CompactEnabled                            Compact
//	lift.OptimisticConcurrencyControl              RequireExpectedOffset
//	client.DeleteStream                            s.Delete
//	client.PauseStream                             s.Pause, and s.Resume: nothing else resumes it
//	client.SetStreamReadonly                       s.SetReadOnly
//	client.Publish(ctx, "foo-stream", value)       s.Publish(ctx, value)
//	client.PublishToSubject(ctx, subject, value)   any NATS client, see below
//	client.PublishAsync(ctx, name, value, handler) p := s.Producer(cfg), and p.Send(ctx, m), which returns a Future
//	lift.Key, Header, ToPartition                  Key, Header, To
//	lift.PartitionByKey                            PartitionBy(ByKeyCRC32())
//	lift.PartitionByRoundRobin                     PartitionBy(RoundRobin())
//	lift.PartitionBy, and an own Partitioner       PartitionBy with an own Partitioner
//	lift.AckPolicyLeader, …All, …None              AckLeader, AckAll (the default), AckNone
//	lift.ExpectedOffset                            ExpectNext
//	lift.AckWaitTime, or a deadline of ctx         the deadline of ctx; past it, ErrOutcomeUnknown
//	lift.NewMessage, UnmarshalAck                  Message and ParseAck of package envelope
//	client.Subscribe(ctx, name, handler)           s.Subscribe(ctx), and a loop over Messages; or s.Handle(ctx, handler)
//	lift.StartAtEarliestReceived, …LatestReceived  FromEarliest, FromLatest
//	lift.StartAtOffset, StartAtTime, …TimeDelta    FromOffset, FromTime, FromAgo
//	lift.StopAtOffset, StopAtTime, StopAtLatest    UntilOffset, UntilTime, UntilLatest; ends are exclusive here
//	msg.Offset(), Key(), Value(), Headers(), …     fields of Message
//	lift.ResubscribeWaitTime                       a Subscription connects again until it is stopped
//	lift.ReadISRReplica                            nothing: leaders are read
//	lift.Partition                                 Partitions; all of them unless told otherwise, and not partition 0
//	client.SetCursor, FetchCursor                  Set and Get of s.Cursor(id, partition); it is the next offset, not the last
//	client.FetchMetadata, FetchPartitionMetadata   c.Streams, s.Info, c.Server
//
// There is no PublishSubject: a subject belongs to NATS, and whatever is published on it with a NATS client is recorded by
// every stream that has it. Where that is to have a key, or an ack of each of those streams, publish a frame of package
// envelope. [Stream.Publish] with [OnSubject] is for one stream.
package client
