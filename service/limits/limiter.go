package limits

import (
	"container/list"
	"context"
	"strconv"
	"sync"
	"time"
)

// Name says what a limit is of.
type Name struct {
	Kind    string // tenant, model, key
	Of      string // which one
	Unit    string // requests, tokens
	Counter string // the counters of its windows, up to the number
}

// Limiter is one limit, for all calls of the process. [Group.New] makes it.
type Limiter struct {
	Name
	group *Group
	wake  chan struct{} // something can be done before the next window

	mu       sync.Mutex
	rate     int64      // a minute
	line     *list.List // of *waiter: calls that wait
	queued   int64      // units that they want
	of       int64      // the window that the balance is of
	balance  int64      // units that are admitted, and nobody has taken
	debt     int64      // units that are taken, and not admitted yet
	ahead    []charge   // windows to come, from which a debt was paid
	refund   int64      // units to give back to them
	credited charge     // what the window has got of what old calls did not use
	closed   int64      // this window and those before it admit no more
	running  bool       // the line is being served

	past      history
	contended time.Time // when others last took what was wanted here
	failures  int       // increments without an answer, in a row
	away      bool      // the counters are
	unshared  bool      // they are, because there are none
	share     int64     // what this process has for itself while they are
	cautious  int64     // until this window no more than the share is taken
	look      time.Time // when to look whether they are back
	said      time.Time // when the log last said that the limit is reached
	comeback  time.Time // when the last call is expected back that was sent away
}

// charge is a debt that was paid from a window.
type charge struct{ window, units int64 }

// waiter is a call in line.
type waiter struct {
	units   int64
	window  int64         // that admitted it
	granted chan struct{} // closed when it is
}

// New returns a limiter of so many units a minute, at least 1.
func (g *Group) New(name Name, perMinute int64) *Limiter {
	return &Limiter{Name: name, group: g, rate: perMinute, line: list.New(), wake: make(chan struct{}, 1)}
}

// SetRate changes the limit. What is under way has the old one.
func (l *Limiter) SetRate(perMinute int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = perMinute
	if l.unshared {
		l.share = perMinute
	}
}

// Rate is how many units a minute it admits.
func (l *Limiter) Rate() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}

// Idle reports whether nobody waits for it, and nothing is under way.
func (l *Limiter) Idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.running
}

// take waits in line until units are admitted, and returns by which window. Errors: ctx's
// cause.
func (l *Limiter) take(ctx context.Context, units int64) (of int64, err error) {
	w := &waiter{units: units, granted: make(chan struct{})}
	l.mu.Lock()
	place := l.line.PushBack(w)
	l.queued += units
	l.turnTo(windowAt(l.group.time()))
	l.admit()
	l.serve()
	l.mu.Unlock()
	select {
	case <-w.granted:
		return w.window, nil
	default:
	}
	began := l.group.now()
	defer func() { l.waited(l.group.now().Sub(began)) }()
	select {
	case <-w.granted:
		return w.window, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-w.granted: // in this moment: the next in line gets it
		l.putBack(w.window, w.units)
	default:
		l.line.Remove(place)
		l.queued -= units
	}
	return 0, context.Cause(ctx)
}

// admit lets those in line go as far as the balance lasts. The lock is held, as for what
// follows but has a name of its own.
func (l *Limiter) admit() {
	for l.balance > 0 && l.line.Len() > 0 {
		w := l.line.Remove(l.line.Front()).(*waiter)
		l.queued -= w.units
		w.window = l.of
		close(w.granted)
		if l.balance -= w.units; l.balance < 0 {
			l.debt, l.balance = l.debt-l.balance, 0
		}
	}
}

// turnTo begins a window: what is left of the one before is not admitted any more.
func (l *Limiter) turnTo(k int64) {
	l.notice(k)
	if l.of != k {
		l.of, l.balance = k, 0
	}
}

// giveBack returns units of a window that were not used.
func (l *Limiter) giveBack(of, units int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.putBack(of, units)
}

func (l *Limiter) putBack(of, units int64) {
	repaid := min(l.debt, units)
	l.debt -= repaid
	if of == windowAt(l.group.time()) {
		l.turnTo(of)
		l.balance += units - repaid
		l.admit()
		l.serve()
	}
}

// Settle makes up the difference between what a call took, so long ago, and what it used.
// What it did not use is for others in the windows from which it was taken, as far as
// these are still to come. Of the rest, which would be more than the limit in the minute
// that comes, a window gets as much again as it admits, and the others lose it.
func (l *Limiter) Settle(taken, used int64, ago time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if used > taken {
		l.debt += used - taken
	} else {
		units := l.credit(taken, taken-used, ago)
		repaid := min(l.debt, units)
		l.debt -= repaid
		l.refund += units - repaid
	}
	l.serve()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// credit is how much of what a call did not use is for others.
func (l *Limiter) credit(taken, unused int64, ago time.Duration) int64 {
	now := l.group.time()
	if k := windowAt(now); l.credited.window != k {
		l.credited = charge{window: k}
	}
	over := max(0, int64(ago/window)-1) // windows: a permit is good for two
	ahead := min(unused, max(0, taken-over*l.rate/windows))
	most := (l.pace(now)+windows-1)/windows - l.credited.units
	again := max(0, min(unused-ahead, most))
	l.credited.units += again
	return ahead + again
}

// serve has a goroutine serve the line, until there is none. It is one of the group's.
func (l *Limiter) serve() {
	if l.running || l.group.alive.Err() != nil || l.line.Len() == 0 && l.debt == 0 && l.refund == 0 && l.balance == 0 {
		return
	}
	l.running = true
	l.group.work.Go(l.run)
}

// waited reports a wait, and says once a minute that the limit is reached.
func (l *Limiter) waited(wait time.Duration) {
	l.group.Waited(l.Kind, wait)
	if wait < window { // for an answer
		return
	}
	l.mu.Lock()
	now := l.group.now()
	said := now.Sub(l.said) < time.Minute
	if !said {
		l.said = now
	}
	rate, waiting := l.rate, l.line.Len()
	l.mu.Unlock()
	if !said {
		l.group.Log.Info("a limit is reached, and calls wait for it", "limit", l.Kind, "of", l.Of, "unit", l.Unit, "per_minute", rate, "waiting", waiting)
	}
}

// counterOf is the counter of a window.
func (l *Limiter) counterOf(k int64) string { return l.Counter + "." + strconv.FormatInt(k, 10) }
