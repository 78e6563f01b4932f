package client

import "google.golang.org/grpc/connectivity"

// OnConnection has f told with false when the connection is lost, and with true when there is one again: in turns, beginning
// with a loss, since Connect returns with a connection. An outage that is over before anybody looked is not told. f is called in
// a goroutine of the client's own, which Close waits for: it must not call Close. A connection that no call used for half an hour
// is given up, which counts as a loss.
func OnConnection(f func(connected bool)) Option {
	return func(c *connecting) { c.onConnection = f }
}

// watchConnection tells until the client hangs up.
func (c *Client) watchConnection(tell func(connected bool)) {
	state, connected := connectivity.Ready, true
	for c.conn.WaitForStateChange(c.standing, state) {
		state = c.conn.GetState()
		if now := state == connectivity.Ready; now != connected {
			connected = now
			tell(connected)
		}
	}
}
