package limits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// Want is what a call takes of a limit.
type Want struct {
	Limiter *Limiter
	Units   int64
}

// Ask is what a call asks of limits before it begins.
type Ask struct {
	Wants   []Want
	Within  time.Duration // how long it waits
	Joining func()        // called before it joins a line; nil: nobody asks
	Ready   func() error  // asked when its turn has come; nil: it is

	// Back is after how long a call comes again whose turn with a limit comes too late, if
	// others are held back meanwhile. nil, or 0: it is given a time of its own.
	Back func(of Name) time.Duration
}

// ExceededError is a call whose turn with a limit comes too late. errors.Is knows it as
// failsafe-go's ratelimiter.ErrExceeded.
type ExceededError struct {
	Limit Name
	Wait  time.Duration // after which it may come again; others are told other times
}

// Error names the limit.
func (e *ExceededError) Error() string {
	return fmt.Sprintf("the limit of %s a minute of %s %s is reached", e.Limit.Unit, e.Limit.Kind, e.Limit.Of)
}

// Is reports whether it is what was asked for.
func (e *ExceededError) Is(target error) bool { return target == ratelimiter.ErrExceeded }

// permit is what a call has of a limit.
type permit struct {
	Want
	window int64
}

// Acquire waits until a call may begin. Errors: *ExceededError, Ready's, ctx's cause.
func (a Ask) Acquire(ctx context.Context) error {
	if len(a.Wants) == 0 {
		return a.ready()
	}
	clock := a.Wants[0].Limiter.group
	giveUp := clock.now().Add(a.Within)
	for {
		if err := a.meet(ctx, giveUp); err != nil {
			return err
		}
		held, err := a.takeAll(ctx, giveUp)
		if err == nil && fresh(held, windowAt(clock.time())) {
			if err = a.ready(); err == nil {
				return nil
			}
		}
		for _, p := range held {
			p.Limiter.giveBack(p.window, p.Units)
		}
		if err != nil {
			return err
		}
	}
}

func (a Ask) ready() error {
	if a.Ready == nil {
		return nil
	}
	return a.Ready()
}

// fresh reports whether all permits are good in a window.
func fresh(held []permit, k int64) bool {
	return !slices.ContainsFunc(held, func(p permit) bool { return k > p.window+1 })
}

// meet waits until all limits are open at the same time, as far as can be known: small
// ones open in few windows, and what one of them admits cannot be kept for another.
func (a Ask) meet(ctx context.Context, giveUp time.Time) error {
	if len(a.Wants) == 1 {
		return a.exceeded(a.Wants[0], a.Wants[0].Limiter.Wait(), giveUp)
	}
	clock := a.Wants[0].Limiter.group
	now := clock.time()
	k := windowAt(now)
	at, last := k, a.Wants[0]
	for settled := false; !settled; {
		settled = true
		for _, w := range a.Wants {
			if opens := w.Limiter.opens(max(k, at-1)); opens > at {
				at, last, settled = opens, w, false
			}
		}
	}
	wait := max(0, startOf(at).Sub(now))
	for _, w := range a.Wants {
		if line := w.Limiter.Wait(); line > wait {
			return a.exceeded(w, line, giveUp)
		}
	}
	if err := a.exceeded(last, wait, giveUp); err != nil || at <= k+1 {
		return err
	}
	return sleep(ctx, startOf(at-1).Sub(now))
}

// exceeded is the error of a call that would wait for too long; nil if it would not.
func (a Ask) exceeded(w Want, wait time.Duration, giveUp time.Time) error {
	if !w.Limiter.group.now().Add(wait).After(giveUp) {
		return nil
	}
	w.Limiter.group.synchronize() // it is not served, so nobody else does
	return a.sendAway(w, wait)
}

// sendAway is the error of a call whose turn with a limit is so far away.
func (a Ask) sendAway(w Want, wait time.Duration) error {
	e := &ExceededError{Limit: w.Limiter.Name}
	if a.Back != nil {
		e.Wait = a.Back(w.Limiter.Name)
	}
	if e.Wait == 0 {
		e.Wait = w.Limiter.sendAway(wait, w.Units)
	}
	return e
}

// takeAll takes what a call wants, of the limit first whose turn comes last. It returns
// what it has, also beside an error.
func (a Ask) takeAll(ctx context.Context, giveUp time.Time) (held []permit, err error) {
	clock := a.Wants[0].Limiter.group
	limited, cancel := context.WithTimeoutCause(ctx, giveUp.Sub(clock.now()), errGaveUp)
	defer cancel()
	type place struct {
		Want
		wait time.Duration
	}
	line := make([]place, len(a.Wants))
	for i, w := range a.Wants {
		line[i] = place{w, w.Limiter.Wait()}
	}
	slices.SortStableFunc(line, func(a, b place) int { return cmp.Compare(b.wait, a.wait) })
	if a.Joining != nil {
		a.Joining()
	}
	for _, p := range line {
		of, err := p.Limiter.take(limited, p.Units)
		if errors.Is(err, errGaveUp) {
			return held, a.sendAway(p.Want, p.Limiter.Wait())
		}
		if err != nil {
			return held, err
		}
		held = append(held, permit{p.Want, of})
	}
	return held, nil
}

var errGaveUp = errors.New("the call has waited for as long as it may")

// sleep waits; it returns ctx's cause when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
