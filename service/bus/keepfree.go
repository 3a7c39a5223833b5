package bus

import (
	"math"
	"time"

	"gemini-client/events"
)

// activeFor is how long after its last message a queue counts as one that may get another.
const activeFor = 10 * time.Second

// keepFree says of each queue how many slots it leaves free once it has its share: one for
// each other that had messages a moment ago and may have more, the headroom at most. Calls that take equally
// long and have begun together end together: without a free slot the first request of
// another would wait for that, as long as a call. Where nobody else is active, nothing is
// kept free. The slow lane leaves the headroom in any case.
func (l lanes) keepFree(queues []*queue, now time.Time) {
	able, weights := 0, 0.0 // those that might use a slot, and the weights of all that are active
	for _, q := range queues {
		if !q.isActive(now, l.active) {
			continue
		}
		weights += q.weight()
		if !q.held.Load() {
			able++
		}
	}
	for _, q := range queues {
		if !q.isActive(now, l.active) {
			q.keep.Store(0)
			continue
		}
		q.share.Store(int64(math.Ceil(float64(l.slots) * q.weight() / weights)))
		q.keep.Store(int64(min(l.headroom, max(0, able-1))))
	}
}

// isActive reports whether a queue of interactive requests has some, or had a moment ago.
func (q *queue) isActive(now time.Time, activeFor time.Duration) bool {
	return !q.retries && q.effectiveLane() == events.LaneInteractive &&
		(q.inFlight.Load() > 0 || q.left.Load() > 0 || now.UnixNano()-q.last.Load() < int64(activeFor))
}

func (q *queue) weight() float64 { return float64(q.declared.Load().Weight) }

// leaves reports whether a queue with so many messages in slots may have one of the free
// ones.
func (q *queue) leaves(free, inFlight int) bool {
	return int64(free) > q.keep.Load() || int64(inFlight) < q.share.Load()
}
