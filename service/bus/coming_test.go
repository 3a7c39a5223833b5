package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gemini-client/events"
)

// line is a limit that admits so many at a time: a stand-in for the line of a limiter.
type line struct {
	room int

	mu      sync.Mutex
	waiting int
	most    int // taken beyond the room
}

func (l *line) mayTake(tenant string, coming int) (int, time.Duration) {
	if tenant == "" {
		return 1 << 20, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.room-l.waiting-coming), 10 * time.Millisecond
}

func (l *line) join(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
	l.most = max(l.most, l.waiting)
}

// TestNoMoreAreTakenThanThereIsRoomFor: what was taken has its place in the line before it
// stands there, whichever lane it is of, and both lanes have their share of the room.
func TestNoMoreAreTakenThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	const room, each = 3, 120
	b, c := sharing(t, 40, "acme")
	b.enqueue("acme", events.LaneInteractive, each)
	b.enqueue("acme", events.LaneBatch, each)
	l := &line{room: room}
	var mu sync.Mutex
	taken, most := 0, 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		taken += n
		most = max(most, taken)
	}
	b.run(c.bus, Handlers{MayTake: l.mayTake, Deliver: func(ctx context.Context, d *Delivery) {
		count(1)
		_ = sleep(ctx, 2*time.Millisecond) // it is claimed
		l.join(1)
		d.Arrived()
		d.Arrived()
		_ = sleep(ctx, 5*time.Millisecond) // it waits for its turn
		l.join(-1)
		count(-1)
		c.mu.Lock()
		c.began = append(c.began, d.Tenant+"/"+string(d.Lane))
		c.mu.Unlock()
		_, _ = c.bus.Settle(ctx, d, End{})
	}})
	b.began(c, each)
	got := c.counts()
	if interactive, batch := got["acme/interactive"], got["acme/batch"]; batch < each/20 || interactive < batch*3/2 {
		t.Errorf("%d interactive calls and %d of the slow lane, want more of the first, and some of the second", interactive, batch)
	}
	b.began(c, 2*each)
	mu.Lock()
	defer mu.Unlock()
	if most > room || l.most > room {
		t.Errorf("%d were taken at a time, and %d stood in line, want %d at most", most, l.most, room)
	}
	b.Until("nothing is counted any more", func() (string, bool) {
		of := c.bus.sources.of("acme")
		n := []int64{of.coming.Load(), of.inFlight.Load(), c.bus.sources.coming.Load()}
		return fmt.Sprint(n), n[0] == 0 && n[1] == 0 && n[2] == 0
	})
}
