package batch

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many requests of a batch are ended at the same time. Each takes some
// round trips to NATS, one after another.
const atOnce = 16

// ending ends requests of a batch, some at a time.
type ending struct {
	group   *errgroup.Group
	reading context.Context //nolint:containedctx // it ends when one of them has failed: no more are begun
	open    atomic.Int64
}

func each(ctx context.Context) *ending {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	return &ending{group: group, reading: reading}
}

// begin ends one request, when there is room. The error is that no more are to be begun.
func (e *ending) begin(end func() (over bool, err error)) error {
	e.group.Go(func() error {
		over, err := end()
		if err == nil && !over {
			e.open.Add(1)
		}
		return err
	})
	return e.reading.Err()
}

// wait returns how many have to be asked again, and the first error.
func (e *ending) wait() (open int, err error) {
	err = e.group.Wait()
	return int(e.open.Load()), err
}
