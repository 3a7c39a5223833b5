package service

import (
	"context"
	"errors"

	"gemini-client/service/bus"
	"gemini-client/service/limits"
)

// limitCounters are those of limits that all workers share.
type limitCounters struct{ bus *bus.Bus }

// Add implements limits.Counter: it makes sure of the counters first.
func (c limitCounters) Add(ctx context.Context, counter string, by int64, id string) (int64, error) {
	if err := c.bus.LimitsReady(ctx); err != nil {
		if errors.Is(err, bus.ErrTopology) {
			return 0, limits.ErrNotShared
		}
		return 0, err
	}
	return c.bus.Add(ctx, counter, by, id)
}
