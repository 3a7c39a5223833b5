package bus

import (
	"math"
	"slices"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// contender is a queue whose messages wait for slots.
type contender struct {
	queue    *queue
	lane     events.Lane
	weight   float64
	inFlight int     // messages of it in slots
	room     *int    // what its tenant may be given now, in both lanes
	served   float64 // what it was given before, for its weight and its lane's

	given int
}

// lanes shares the slots between the lanes, and in each lane between the queues that wait.
type lanes struct {
	weights  map[events.Lane]float64
	slots    int
	headroom int                     // slots that the batch lane leaves to the interactive one
	active   time.Duration           // for which a queue counts as active; tests have longer ones
	served   map[events.Lane]float64 // slots that each lane was given, for its weight
}

// headroomShare is the part of the slots that the batch lane leaves free, so that an
// interactive request finds one and need not wait for the end of a call.
const headroomShare = 10

func newLanes(c config.Lanes, slots int) lanes {
	l := lanes{weights: map[events.Lane]float64{}, served: map[events.Lane]float64{}, slots: slots, active: activeFor}
	for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
		l.weights[lane] = float64(c.Weight(lane))
	}
	if slots > 1 {
		l.headroom = max(1, slots/headroomShare)
	}
	return l
}

// divide gives up to n of the free slots to those that wait, one after the other: to the
// lane with the fewest slots for its weight, and in it to the queue with the fewest in
// flight for its weight. So a queue that uses little waits for none that uses much, and
// one that is alone may have everything. inFlight counts the messages in slots by lane.
func (l lanes) divide(n, free int, waiting []*contender, inFlight map[events.Lane]int) {
	l.catchUp(waiting)
	for ; n > 0; n, free = n-1, free-1 {
		one := l.next(free, waiting, inFlight)
		if one == nil {
			return
		}
		one.given++
		*one.room--
		one.served += 1 / (one.weight * l.weights[one.lane])
		inFlight[one.lane]++
		l.served[one.lane] += 1 / l.weights[one.lane]
	}
}

// catchUp has a lane in which nothing waits save nothing for having taken nothing.
func (l lanes) catchUp(waiting []*contender) {
	for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
		if slices.ContainsFunc(waiting, func(one *contender) bool { return one.lane == lane }) {
			continue
		}
		for _, served := range l.served {
			l.served[lane] = max(l.served[lane], served)
		}
	}
}

// next chooses who gets one of the free slots; nil if nobody may have it.
func (l lanes) next(free int, waiting []*contender, inFlight map[events.Lane]int) (best *contender) {
	for _, one := range waiting {
		if *one.room <= 0 || one.lane == events.LaneBatch && !l.leaves(free, inFlight[one.lane]) || !one.leaves(free) {
			continue
		}
		if best == nil || l.before(one, best, inFlight) {
			best = one
		}
	}
	return best
}

// leaves reports whether the batch lane may have another slot: beyond its share it leaves
// some free.
func (l lanes) leaves(free, inFlight int) bool {
	share := float64(l.slots) * l.weights[events.LaneBatch] / (l.weights[events.LaneBatch] + l.weights[events.LaneInteractive])
	return free > l.headroom || float64(inFlight) < max(1, math.Floor(share))
}

// leaves reports whether a queue may have another of the free slots: beyond its share it
// leaves some for others that may ask.
func (c *contender) leaves(free int) bool { return c.queue.leaves(free, c.inFlight+c.given) }

// before reports whether one contender comes before another. Between two with equally few
// in flight it is the one that was given less before: with fewer slots than queues that
// is what shares them. Nor does what is in flight share the room of a tenant's limit between
// its lanes: there is little of it, and each has some of that in flight.
func (l lanes) before(one, other *contender, inFlight map[events.Lane]int) bool {
	if one.room == other.room {
		return one.served < other.served || one.served == other.served && one.lane == events.LaneInteractive
	}
	if one.lane != other.lane {
		mine, theirs := float64(inFlight[one.lane])/l.weights[one.lane], float64(inFlight[other.lane])/l.weights[other.lane]
		if mine != theirs {
			return mine < theirs
		}
		mine, theirs = l.served[one.lane], l.served[other.lane] // with one slot that is what shares it
		return mine < theirs || mine == theirs && one.lane == events.LaneInteractive
	}
	mine, theirs := float64(one.inFlight+one.given)/one.weight, float64(other.inFlight+other.given)/other.weight
	return mine < theirs || mine == theirs && one.served < other.served
}
