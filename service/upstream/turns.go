package upstream

import (
	"context"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// turns is the rate limit of one key. failsafe-go's limiter decides when the
// next call may begin; turns adds what its executor does not do:
//
//   - Only the first in line has a permit reserved. One that ends before its turn
//     (cancelled, deadline, breaker, key cooling down) leaves the permit to the next.
//   - The limiter's grid begins anew with each call. On
//     one grid a call late in its interval and the next one can be a moment apart,
//     which lets one more than the limit into a minute.
type turns struct {
	interval time.Duration
	limiter  ratelimiter.RateLimiter[answer]
	first    chan struct{} // holds the token of the call that is first in line

	mu       sync.Mutex
	waiting  int       // calls in line, the first one included
	began    time.Time // when the last call began; zero before the first
	reserved time.Time // when the reserved permit can be used; zero if none is
}

// newTurns returns nil if there is no limit (0).
func newTurns(perMinute int) *turns {
	if perMinute == 0 {
		return nil
	}
	interval := (time.Minute + time.Duration(perMinute) - 1) / time.Duration(perMinute)
	t := &turns{interval: interval, limiter: ratelimiter.NewSmoothWithMaxRate[answer](interval), first: make(chan struct{}, 1)}
	t.first <- struct{}{}
	return t
}

// awaitTurn waits for the call's turn with the limits that all workers share, if there
// are any for it, and with its key, and then lets it begin, unless it is not ready any
// more.
func (u *Caller) awaitTurn(ctx context.Context, c *call) error {
	if err := u.weigh(ctx, c); err != nil {
		c.lease.leaveLine()
		return err
	}
	if wants := u.wants(c); len(wants) > 0 {
		return u.awaitShared(ctx, c, wants)
	}
	c.arrive()
	return u.inTurn(ctx, c)
}

// inTurn waits for the call's turn with its key.
func (u *Caller) inTurn(ctx context.Context, c *call) error {
	err := c.lease.key.turns.take(ctx, c.ready)
	c.lease.leaveLine()
	if err != nil {
		return err
	}
	return u.complete(ctx, c)
}

// take waits until it is first in line and its permit can be used. The caller
// has joined the line, and leaves it afterwards. ready is asked when the turn has
// come; its error leaves the turn to the next in line. A nil turns only asks ready.
// Errors: ready's, ctx's cause.
func (t *turns) take(ctx context.Context, ready func() error) error {
	if t == nil {
		return ready()
	}
	select {
	case <-t.first:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { t.first <- struct{}{} }()
	if err := sleep(ctx, time.Until(t.reserve())); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	t.begin()
	return nil
}

// join puts a call in line. The key pool does it when it chooses the key, so that
// the next choice sees the whole line. A nil turns has no line.
func (t *turns) join() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting++
}

// leave ends a place in line, whether its turn has come or not. A nil turns has no
// line.
func (t *turns) leave() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting--
}

// reserve returns when the next permit can be used, which may have been reserved
// by a call that has left.
func (t *turns) reserve() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reserved.IsZero() {
		t.reserved = time.Now().Add(t.limiter.ReservePermit())
	}
	return t.reserved
}

// begin uses the reserved permit, the first one of a new grid.
func (t *turns) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limiter.(interface{ Reset() }).Reset() // failsafe-go's limiters have it; their interface does not name it
	t.limiter.ReservePermit()
	t.began, t.reserved = time.Now(), time.Time{}
}

// next is when a call that joins the line now may begin, if nobody leaves it. A
// nil turns has no limit.
func (t *turns) next(now time.Time) time.Time {
	if t == nil {
		return now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() && t.waiting == 0 {
		return now
	}
	return latest(now, t.began.Add(t.interval)).Add(time.Duration(t.waiting) * t.interval)
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
