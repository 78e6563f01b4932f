package capture

import (
	"fmt"
	"time"
)

// Hearing says why messages that are published now may not be heard; nil: they are.
func (s *Source) Hearing() error {
	if gap, _, open := s.outage.gap(time.Now().UnixNano()); open {
		return fmt.Errorf("there is no connection to NATS since %s; it is tried again all the time", time.Unix(0, gap.FromTime).UTC().Format(time.RFC3339))
	}
	for _, r := range s.allRoutes() {
		if since := r.standing.since.Load(); since != 0 {
			return fmt.Errorf("nothing is heard on %q since %s: %w", r.subject, time.Unix(0, since).UTC().Format(time.RFC3339), ErrNotAllowed)
		}
	}
	return nil
}
