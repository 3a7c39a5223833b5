package upstream

import (
	"context"
	"math"
	"time"

	"gemini-client/service/limits"
)

// MayTake returns how many more requests of a tenant may be taken now, when so many are
// coming, so that they need not wait for long for the limits that all workers share; if
// none, after which time to ask again. The tenant "" stands for all of them, and the limits
// of the keys. Where there is no limit, it is math.MaxInt.
//
// What is coming was taken, and has not come as far as the line of a limit (see [Queue]). It
// has its place there all the same: else each look would find the room that the one before
// has given away.
func (u *Caller) MayTake(tenant string, coming int) (n int, again time.Duration) {
	s := u.shared
	switch {
	case s == nil:
		return math.MaxInt, 0
	case tenant == "":
		n, again = u.keysMayTake()
	default:
		n, again = s.room(s.ofTenant(nil, tenant), u.waitMax)
	}
	if n == math.MaxInt || n == 0 {
		return n, again
	}
	if n -= coming; n <= 0 {
		return 0, comingPause
	}
	return n, 0
}

// comingPause is how long it takes until requests that were taken have come to their limits.
const comingPause = 20 * time.Millisecond

// Limited reports whether calls may have to wait for limits that all workers share.
func (u *Caller) Limited() bool { return u.shared != nil && u.shared.some() }

// Queue is what a call knows of the queue that its request was taken from.
type Queue struct {
	// Arrived is called, once or more, when the request needs no place beside those that
	// wait for its limits: it is one of them now, or waits for something else, or has ended.
	Arrived func()
	// Waits says that the queue is not taken from while there is no room in its limits. A
	// request that has come all the same goes back to it, and is the next one.
	Waits bool
}

type queueKey struct{}

// WithQueue returns a context that tells [Caller.Answer] of a request's queue.
func WithQueue(ctx context.Context, q *Queue) context.Context {
	return context.WithValue(ctx, queueKey{}, q)
}

// arrive says that the call needs no place beside those that wait.
func (c *call) arrive() {
	if c.queue != nil {
		c.queue.Arrived()
	}
}

// room is how many calls all of these limits have room for, of such as wait for so long.
func (s *shared) room(wants []limits.Want, patience time.Duration) (n int, again time.Duration) {
	n = math.MaxInt
	for _, w := range wants {
		units, wait := w.Limiter.Room(patience)
		if units > 0 && w.Limiter.Unit == unitTokens { // the last one may be larger than what there is
			units = 1 + (units-1)/max(1, s.tokens.Load())
		}
		n = int(min(int64(n), units))
		again = max(again, wait)
	}
	return n, again
}

// keysMayTake is how many calls the keys that can be used have room for.
func (u *Caller) keysMayTake() (n int, again time.Duration) {
	k := u.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	first := true
	for _, key := range k.all {
		if key.rest.readyAt(now).After(now) {
			continue
		}
		one, wait := u.shared.room(key.shared, u.waitMax)
		if one == math.MaxInt {
			return math.MaxInt, 0
		}
		n += one
		if first || wait < again {
			again, first = wait, false
		}
	}
	switch {
	case first: // none can be used: Pause says for how long
		return math.MaxInt, 0
	case n > 0:
		return n, 0
	}
	return 0, again
}
