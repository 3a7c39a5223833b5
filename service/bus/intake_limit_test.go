package bus

import (
	"context"
	"sync/atomic"
	"testing"
)

// No more messages are taken than the handlers allow, however many slots are free;
// and all of them when nothing limits it any more.
func TestLimitBoundsTheIntake(t *testing.T) {
	t.Parallel()
	const backlog, most = 30, 3
	b := setup(t)
	bus := b.open()
	b.publish(backlog)
	var asked, at, worked atomic.Int32
	free := make(chan struct{})
	stop := b.run(bus, Handlers{
		Deliver: func(ctx context.Context, d *Delivery) {
			if n := at.Add(1); n > most {
				select {
				case <-free:
				default:
					t.Errorf("%d at once, want %d", n, most)
				}
			}
			<-free
			worked.Add(1)
			_, _ = bus.Settle(ctx, d, End{})
		},
		Limit: func(inFlight int) int {
			select {
			case <-free:
				return backlog
			default:
			}
			if asked.Add(1) == 10 && at.Load() == most {
				close(free)
			}
			return most - inFlight
		},
	})
	b.Idle()
	if err := stop(); err != nil || worked.Load() != backlog {
		t.Errorf("worked on %d, want %d; Run returned %v", worked.Load(), backlog, err)
	}
}
