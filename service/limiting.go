package service

import (
	"context"
	"errors"

	"gemini-client/service/bus"
	"gemini-client/service/limits"
)

// limitCounters are those of limits that all workers share.
type limitCounters struct{ bus *bus.Bus }

// Add implements limits.Counter.
func (c limitCounters) Add(ctx context.Context, counter string, by int64, id string) (int64, error) {
	total, err := c.bus.AddLimit(ctx, counter, by, id)
	if errors.Is(err, bus.ErrTopology) {
		return 0, limits.ErrNotShared
	}
	return total, err
}
