package upstream

import (
	"context"
	"errors"
	"time"
)

// errKeyUnusable is a key that began to cool down while a call waited for its turn.
var errKeyUnusable = errors.New("the key cannot be used any more")

// withKey leases a key for the attempt inside it, and reports to the pool how the
// attempt ended. The retry outside of it then gets another key where the key was at
// fault.
func (u *Caller) withKey(ctx context.Context, c *call) error {
	giveUp := time.Now().Add(u.patience(ctx))
	for {
		if err := u.keys.acquire(ctx, time.Until(giveUp), c.need(c.at()), &c.lease); err != nil {
			return err
		}
		if err := u.useKey(ctx, c); !errors.Is(err, errKeyUnusable) {
			return err
		}
	}
}

// useKey makes the attempt and ends the lease with what the attempt says about the
// key. It marks an error that no retry in the process can heal in time.
func (u *Caller) useKey(ctx context.Context, c *call) error {
	defer u.keys.release(&c.lease) // if the attempt was not made, or panicked
	err := u.attempt(ctx, c)
	if err == nil {
		u.keys.succeeded(&c.lease)
		return nil
	}
	if e := errorOf(err); e != nil {
		if cools := u.keys.failed(&c.lease, e); cools > 0 {
			u.logCooldown(ctx, &c.lease, e, cools)
		}
		wait := e.Wait
		if c.refused = nil; e.key != keyFine { // another key may do; else the first that is free
			c.refused = c.lease.key
			wait = u.usableIn(c)
		}
		e.tooLong = wait > u.patience(ctx)
	}
	return err
}

// patience is how long a call may wait for a retry or a key.
func (u *Caller) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(u.waitMax, time.Until(deadline))
	}
	return u.waitMax
}
