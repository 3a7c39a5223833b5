package bus

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// asks is a contender whose queue is active.
func asks(weight int) *contender {
	one := waits(events.LaneInteractive, float64(weight))
	one.queue.lane = events.LaneInteractive
	one.queue.declared.Store(&tenant.Tenant{Weight: weight})
	one.queue.last.Store(time.Now().UnixNano())
	return one
}

// TestFloodLeavesRoom: a queue that floods leaves a slot free for each other that had
// messages a moment ago and may have more, a tenth at most, and all where nobody had.
func TestFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		slots, others, idle, held int
		free                      int
	}{{100, 0, 0, 0, 0}, {100, 0, 50, 0, 0}, {100, 0, 0, 5, 0}, {100, 3, 0, 0, 3}, {100, 3, 50, 5, 3}, {100, 499, 0, 0, 10}, {5, 3, 0, 0, 1}, {1, 3, 0, 0, 0}} {
		flood := asks(1)
		flood.queue.left.Store(1000)
		queues := []*queue{flood.queue}
		for i := range tt.others + tt.idle + tt.held {
			quiet := asks(1)
			switch {
			case i >= tt.others+tt.idle:
				quiet.queue.held.Store(true)
			case i >= tt.others:
				quiet.queue.last.Store(time.Now().Add(-activeFor).UnixNano())
			}
			queues = append(queues, quiet.queue)
		}
		r := newRoom(tt.slots, flood)
		r.keepFree(queues, time.Now())
		r.fill()
		if free := tt.slots - flood.inFlight; free != tt.free {
			t.Errorf("of %d slots the flood leaves %d to %d others, %d idle and %d held ones, want %d", tt.slots, free, tt.others, tt.idle, tt.held, tt.free)
		}
	}
}

// TestAllWaitAllSlotsAreUsed: where everybody wants more than their share, nothing is kept
// free, whatever the weights.
func TestAllWaitAllSlotsAreUsed(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 5, 20, 100} {
		var all []*contender
		var queues []*queue
		for _, weight := range []int{1, 1, 3, 1, 10, 1, 1} {
			one := asks(weight)
			one.queue.left.Store(1000)
			all, queues = append(all, one), append(queues, one.queue)
		}
		r, random := newRoom(slots, all...), rand.New(rand.NewPCG(1, 1))
		for range 1000 {
			r.keepFree(queues, time.Now())
			r.fill()
			if len(r.calls) != slots {
				t.Fatalf("%d of %d slots are used", len(r.calls), slots)
			}
			r.finish(1+random.IntN(slots), random)
		}
	}
}

// TestFirstRequestFindsASlot: while a tenant floods, the request of another that asked a
// moment ago is called for without the end of a call, and the flood may fill the slots again
// once nobody else asks.
func TestFirstRequestFindsASlot(t *testing.T) {
	t.Parallel()
	const slots = 20
	b, c := sharing(t, slots, "flood", "quiet", "other")
	c.bus.lanes.active = time.Hour // however slow the machine is
	b.work(c, Handlers{})
	for i, name := range []string{"quiet", "other"} {
		b.enqueue(name, events.LaneInteractive, 1)
		b.began(c, i+1)
	}
	c.finish(2)
	b.enqueue("flood", events.LaneInteractive, 300)
	b.began(c, 2+slots-2)
	b.enqueue("quiet", events.LaneInteractive, 1)
	b.Until("the other tenant's request is called for", func() (string, bool) {
		n := c.counts()
		return fmt.Sprint(n), n["quiet/interactive"] == 2
	})
	if n := c.counts()["flood/interactive"]; n > slots-2 {
		t.Errorf("the flood has begun %d calls in %d slots", n, slots)
	}
	b.drain(c)
}
