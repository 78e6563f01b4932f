package client

// mayBeRefused says that a batch is to be sent with the number of partitions, so that the server refuses it once there are
// others: that is a no to the batch only as long as no attempt before may have stored it.
func (b *parcel) mayBeRefused() bool { return !b.unknown }

// refuseStale settles what waits to be placed anew with an error: nothing of it is stored.
func (l *lane) refuseStale(err error) []*parcel {
	refused := l.stale
	l.stale = nil
	for _, b := range refused {
		b.err = err
	}
	return refused
}

// moveOut takes out what waits, to be placed anew, in its order.
func (l *lane) moveOut() []*parcel {
	waiting := append(l.stale, l.queue...)
	l.stale, l.queue = nil, nil
	return waiting
}
