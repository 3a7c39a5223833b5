package limits

import (
	"errors"
	"time"
)

// failed notes an increment without an answer: what it wanted is taken to be gone.
func (l *Limiter) failed(s step, err error) {
	if s.units <= 0 {
		return
	}
	l.closed = max(l.closed, s.window)
	l.debt -= min(l.debt, s.units)
	l.failures++
	switch {
	case errors.Is(err, ErrNotShared):
		l.away, l.unshared, l.share = true, true, l.rate
		l.look = l.group.now().Add(time.Minute)
	case l.failures >= failuresToLeave:
		l.away, l.share = true, min(l.rate, max(1, l.past.perMinute(windowAt(l.group.time()))))
		l.look = l.group.now().Add(lookEvery)
		l.group.left(true, err)
	}
}

// alone is the next step while the counters are away: the process admits its own share
// by itself, and looks for them now and then.
func (l *Limiter) alone(k int64, now time.Time) step {
	if k > l.closed {
		l.closed = k
		granted := quota(l.share, k)
		repaid := min(l.debt, granted)
		l.debt -= repaid
		l.balance += granted - repaid
		l.admit()
	}
	if own := l.group.now(); !own.Before(l.look) {
		l.look = own.Add(lookEvery)
		if l.unshared {
			l.look = own.Add(time.Minute)
		}
		return step{window: k}
	}
	if l.line.Len() == 0 && l.debt == 0 {
		l.running = false
		return step{done: true}
	}
	return step{until: startOf(windowAt(now) + 1)}
}

// back goes on with the counters.
func (l *Limiter) back() {
	if !l.unshared {
		l.group.left(false, nil)
		l.cautious = windowAt(l.group.time()) + caution
	}
	l.away, l.unshared = false, false
}
