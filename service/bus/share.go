package bus

import (
	"context"
	"math"
	"slices"
	"time"

	"gemini-client/events"
)

// turn gives the free slots to the queues that wait for them, and has every other say when
// a message comes. It is the intake's where slots are shared. It returns false when intake
// ends.
func (in *intake) turn(intake, work context.Context) bool {
	queues := in.sources.current()
	in.memory.passOthers(queues)
	if !in.memory.wait(intake, queues, largest(in.conn.Conn), in.sayFull) || !in.open(intake) || !in.alive(intake) {
		return false
	}
	free := in.takeFree()
	if free == 0 { // what comes meanwhile is known to wait when a slot is free
		in.listen(intake, work, queues)
		return in.awaitNews(intake, idlePull)
	}
	limit := in.limit(free, 0)
	waiting, again := in.contenders(intake, work, queues)
	in.lanes.keepFree(queues, time.Now())
	in.lanes.divide(limit, free+len(in.free), waiting, inFlightOf(queues))
	used := 0
	for _, one := range waiting {
		one.queue.served = one.served
		if r := in.reserve(one.queue, one.given); r.n > 0 {
			used += r.n
			in.asking.Add(int64(r.n))
			one.queue.serving.Store(true)
			in.pull(one.queue, func(q *queue) { in.serve(intake, work, q, r) })
		}
	}
	in.give(free - used)
	if limit == 0 {
		in.watchHeld(intake, work, queues)
		return sleep(intake, limitedPause)
	}
	in.listen(intake, work, queues)
	return used > 0 && intake.Err() == nil || in.awaitNews(intake, again)
}

// pull has something pulled from a queue, one at a time, on a goroutine that the intake
// waits for.
func (in *intake) pull(q *queue, do func(*queue)) {
	q.pulling.Store(true)
	in.pulls.Go(func() {
		do(q)
		q.pulling.Store(false)
		signal(in.news)
	})
}

// contenders are the queues that wait for slots, and how long until another one may.
func (in *intake) contenders(intake, work context.Context, queues []*queue) (waiting []*contender, again time.Duration) {
	again = idlePull / 2 // the retries are due
	least, rooms := math.Inf(1), map[string]*int{}
	for _, q := range queues {
		one := &contender{queue: q, lane: q.effectiveLane(), weight: q.weight(), inFlight: int(q.inFlight.Load())}
		switch {
		case q.resting.Load():
			in.memory.pass(q)
			continue
		case q.pulling.Load():
			continue
		case q.retries && q.due():
			if one.room = new(math.MaxInt); !q.more {
				*one.room = retriesLook
			}
		case q.retries, q.left.Load() == 0:
			continue
		default:
			var wait time.Duration
			if one.room, wait = in.room(q, rooms); *one.room == 0 {
				in.watch(intake, work, q, wait)
				again = min(again, max(wait, limitedPause/10))
				continue
			}
		}
		least = min(least, q.served)
		waiting = append(waiting, one)
	}
	waiting = besideNone(waiting, queues)
	in.catchUp(waiting, least)
	return waiting, again
}

// besideNone leaves out the lanes of limited tenants whose other lane is being served: it
// would take the room alone that both have to share.
func besideNone(waiting []*contender, queues []*queue) []*contender {
	var served map[string]bool
	for _, q := range queues {
		if !q.serving.Load() || q.retries {
			continue
		}
		if served == nil {
			served = map[string]bool{}
		}
		served[q.tenant] = true
	}
	return slices.DeleteFunc(waiting, func(one *contender) bool {
		return served[one.queue.tenant] && !one.queue.retries && *one.room < math.MaxInt
	})
}

// room is how many more messages of a queue may be taken now; if none, how long until there
// may be some. Where its tenant is limited, both of its lanes have the same.
func (in *intake) room(q *queue, rooms map[string]*int) (room *int, wait time.Duration) {
	n, wait := in.mayTake(q)
	switch {
	case n == math.MaxInt:
		return &n, 0
	case n == 0 && wait >= limitedPause:
		in.memory.pass(q)
	}
	if rooms[q.tenant] == nil || n == 0 {
		rooms[q.tenant] = &n
	}
	return rooms[q.tenant], wait
}

// retriesLook is for how many messages the retries are asked of which nothing is known.
const retriesLook = 4

// catchUp has a queue that did not wait before save nothing for having taken nothing.
func (in *intake) catchUp(waiting []*contender, least float64) {
	if !math.IsInf(least, 1) {
		in.served = max(in.served, least)
	}
	for _, one := range waiting {
		one.served = max(one.queue.served, in.served)
	}
}

// mayTake is how many more messages of a queue may be taken now; if none, how long until
// there may be some.
func (in *intake) mayTake(q *queue) (n int, again time.Duration) {
	defer func() { q.held.Store(n == 0) }()
	if n = in.sources.roomFor(q.declared.Load()); n == 0 || in.handlers.MayTake == nil {
		return n, idlePull
	}
	allowed, again := in.handlers.MayTake(q.tenant, in.sources.of(q.tenant).comingNow())
	return min(n, max(0, allowed)), again
}

func inFlightOf(queues []*queue) map[events.Lane]int {
	n := make(map[events.Lane]int, 2)
	for _, q := range queues {
		n[q.effectiveLane()] += int(q.inFlight.Load())
	}
	return n
}

// serve takes as many messages of a queue that has some as are reserved, for slots that are
// taken.
func (in *intake) serve(intake, work context.Context, q *queue, r reservation) {
	q.hurry = true
	used := in.fetch(intake, work, q, r.n)
	in.unreserve(q, r)
	in.asking.Add(-int64(r.n))
	in.give(r.n - used)
	q.serving.Store(false)
	switch {
	case !q.more:
		q.left.Store(0)
	case used == 0: // another queue's message waits for memory
		sleep(intake, limitedPause/10)
	}
}

// listen has a pull wait for the next messages of every queue that has none.
func (in *intake) listen(intake, work context.Context, queues []*queue) {
	wait, batch := in.sources.idle(cap(in.free))
	if len(in.free) == 0 { // it goes back: one is enough to know
		batch = 1
	}
	for _, q := range queues {
		if q.retries || q.left.Load() > 0 || q.pulling.Load() || q.resting.Load() {
			continue
		}
		if n, again := in.mayTake(q); n == 0 {
			in.watch(intake, work, q, again)
		} else {
			in.pull(q, func(q *queue) { in.idle(intake, work, q, min(n, batch), wait) })
		}
	}
}

// idle waits for a queue's next messages without a slot for them.
func (in *intake) idle(intake, work context.Context, q *queue, n int, wait time.Duration) {
	before := q.wait
	q.hurry, q.wait, q.most = false, wait, idleBytes
	err := q.pull(&q.inbox, n, func(m pulled) { in.offer(intake, work, q, m) })
	q.wait, q.asked = before, time.Now()
	if q.cut {
		q.left.Store(1)
	}
	if err != nil {
		in.failing(intake, q, err)
	} else {
		in.readable(work, q)
	}
}

// offer puts a message into a slot if there is a free one and it may be taken. Else it
// goes back at once: to another worker that waits for it, or to its queue, which is known
// to have some now.
func (in *intake) offer(intake, work context.Context, q *queue, m pulled) {
	if intake.Err() == nil && in.accept(work, q, m) {
		if q.left.Load() > 0 {
			signal(in.news)
		}
		return
	}
	in.unsettled(work, "nack", m.nak(0))
	q.left.Add(1)
	signal(in.news)
}

// accept takes a message that was not asked for a slot of its own; false if it may not be
// taken now.
func (in *intake) accept(work context.Context, q *queue, m pulled) bool {
	if _, why := in.pause(); why != "" || q.effectiveLane() == events.LaneBatch && len(in.free) <= in.lanes.headroom || !q.leaves(len(in.free), int(q.inFlight.Load())) {
		return false
	}
	in.asking.Add(1)
	defer in.asking.Add(-1)
	if in.limit(1, 1) == 0 || !in.memory.hasRoom(m.Msg) || !in.tryTake() {
		return false
	}
	r := in.reserve(q, 1)
	if r.n == 0 {
		in.give(1)
		return false
	}
	if !in.begin(work, q, m) {
		in.give(1)
	}
	in.unreserve(q, r)
	return true
}

// awaitNews waits until something has changed, or for a time; false when intake ends.
func (in *intake) awaitNews(intake context.Context, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-in.news:
	case <-in.revived:
	case <-timer.C:
	case <-intake.Done():
		return false
	}
	return true
}
