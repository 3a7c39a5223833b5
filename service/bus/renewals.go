package bus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// renewEvery is how often claims are looked at whether they have to be renewed.
	renewEvery = 10 * time.Second
	// renewAtOnce bounds how many claims are renewed at the same time.
	renewAtOnce = 64
)

// keep reports whether a claim still holds. It asks NATS only if the heartbeat had a
// gap since the claim was stored, in which another process may have taken the claim
// over. Once the heartbeat is there again, nobody does. expired says that the claim
// had ended meanwhile, so that others may have come and gone. Errors: ErrRefused,
// ctx's cause.
func (c *claims) keep(ctx context.Context, one *claim) (kept, expired bool, err error) {
	for {
		one.mu.Lock()
		gaps, taken, expired := one.gaps, one.taken, one.expired
		one.mu.Unlock()
		switch {
		case taken:
			return false, false, nil
		case c.heartbeat.unbroken(gaps):
			return true, expired, nil
		case !c.heartbeat.assure(ctx):
			return false, false, context.Cause(ctx)
		}
		if err := c.renew(ctx, one); err != nil && !errors.Is(err, errTakenOver) {
			return false, false, err
		}
	}
}

// run renews the claims of calls that take long, and repeats what NATS did not take,
// until ctx ends: one loop for all slots. What is left then is tried once more.
func (c *claims) run(ctx context.Context) {
	look := time.NewTicker(min(renewEvery, c.heartbeat.ttl/3))
	defer look.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-look.C:
		case <-c.heartbeat.back:
		}
		if c.heartbeat.assure(ctx) {
			c.renewDue(ctx, time.Now())
			c.repeatMarks(ctx, renewEvery)
		}
	}
	c.repeatMarks(context.WithoutCancel(ctx), requestTimeout/2)
}

// renewDue has the claims last longer that may soon end. What fails is tried again at
// the next look.
func (c *claims) renewDue(ctx context.Context, now time.Time) {
	var due []*claim
	c.mu.Lock()
	for _, one := range c.held {
		if one.due(now) {
			due = append(due, one)
		}
	}
	c.mu.Unlock()
	abreast(due, func(one *claim) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		if err := c.renew(ctx, one); err != nil && !errors.Is(err, errTakenOver) {
			c.streams.log.DebugContext(ctx, "a claim was not renewed", "claim", one.subject, "error", err)
		}
	})
}

// due reports whether a claim has to be renewed. If somebody is at it, it has not.
func (one *claim) due(now time.Time) bool {
	if !one.mu.TryLock() {
		return false
	}
	defer one.mu.Unlock()
	return now.Sub(one.written) >= renewAfter && one.life < remembered && !one.taken
}

// outlasts reports whether a claim ends long after now: a look-up that was sent before its
// result was stored, and has seen none, meets it. One that could not be renewed for a
// while does not.
func (one *claim) outlasts(now time.Time) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	return now.Sub(one.written) < renewAfter+renewAfter/4
}

// repeatMarks tries, for a time, to leave the marks that NATS has not taken.
func (c *claims) repeatMarks(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c.mu.Lock()
	pending := c.pending
	c.pending = map[*claim]mark{}
	c.mu.Unlock()
	abreast(slices.Collect(maps.Keys(pending)), func(one *claim) {
		if ctx.Err() == nil && c.tryLeave(ctx, one, pending[one]) {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pending[one] = pending[one]
	})
}

// abreast does something to each claim, to renewAtOnce at a time.
func abreast(list []*claim, do func(*claim)) {
	var all sync.WaitGroup
	turns := make(chan struct{}, renewAtOnce)
	for _, one := range list {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			do(one)
		})
	}
	all.Wait()
}
