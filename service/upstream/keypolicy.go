package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
)

// errKeyUnusable is a key that began to cool down while a call waited for its turn.
var errKeyUnusable = errors.New("the key cannot be used any more")

// withKey is the policy that leases a key for the attempt inside it, and reports
// to the pool how the attempt ended. The retry outside of it then gets another key
// where the key was at fault.
func (u *Caller) withKey(exec failsafe.Execution[answer], inner next) *result {
	ctx := exec.Context()
	c := callOf(ctx)
	giveUp := time.Now().Add(u.patience(ctx))
	for {
		l, err := u.keys.acquire(ctx, time.Until(giveUp), c.need(c.at()))
		if err != nil {
			return failure(err)
		}
		c.lease = l
		r := u.useKey(exec, c, inner)
		if !errors.Is(r.Error, errKeyUnusable) {
			return r
		}
	}
}

// useKey makes the attempt and ends the lease with what the attempt says about the
// key. It marks an error that no retry in the process can heal in time.
func (u *Caller) useKey(exec failsafe.Execution[answer], c *call, inner next) *result {
	ctx := exec.Context()
	defer u.keys.release(c.lease) // if the attempt was not made, or panicked
	r := inner(exec)
	var e *Error
	switch {
	case r.Error == nil:
		u.keys.succeeded(c.lease)
	case errors.As(r.Error, &e):
		if cools := u.keys.failed(c.lease, e); cools > 0 {
			u.logCooldown(ctx, c.lease, e, cools)
		}
		wait := e.Wait
		if c.refused = nil; e.key != keyFine { // another key may do; else the first that is free
			c.refused = c.lease.key
			wait = u.usableIn(c)
		}
		e.tooLong = wait > u.patience(ctx)
	}
	return r
}

// patience is how long a call may wait for a retry or a key.
func (u *Caller) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(u.waitMax, time.Until(deadline))
	}
	return u.waitMax
}
