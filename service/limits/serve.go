package limits

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	failuresToLeave = 2           // increments without an answer, in a row, before the counters are away
	lookEvery       = time.Second // while they are
	caution         = 6           // windows after which all have noticed that the counters are back
	stagger         = window / 8  // over which replicas begin a window, lest the nearest to the server always be the first
)

// step is what the goroutine of a limiter does next.
type step struct {
	done   bool
	until  time.Time // to sleep; zero: to add
	window int64
	units  int64 // less than 0: to give back; 0: to look whether the counters are there
	quota  int64
}

// run serves the line until nobody waits and nothing is owed.
func (l *Limiter) run() {
	for {
		l.group.synchronize()
		s := l.next()
		switch {
		case s.done:
			return
		case !s.until.IsZero():
			if !l.sleep(s.until) {
				return
			}
		default:
			l.add(s)
		}
	}
}

// sleep waits for a time by the server's clock, or until there is something to do. It
// returns false at the end of the group.
func (l *Limiter) sleep(until time.Time) bool {
	timer := time.NewTimer(until.Sub(l.group.time()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.wake:
	case <-l.group.alive.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running = false
		return false
	}
	return true
}

// next decides.
func (l *Limiter) next() step {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.group.time()
	k := windowAt(now)
	l.turnTo(k)
	if s, some := l.returns(k); some {
		return s
	}
	repaid := min(l.debt, l.balance)
	l.debt, l.balance = l.debt-repaid, l.balance-repaid
	l.admit()
	if l.line.Len() == 0 && l.debt == 0 && l.balance == 0 || l.group.alive.Err() != nil {
		l.running = false
		return step{done: true}
	}
	if l.away {
		return l.alone(k, now)
	}
	if l.balance > 0 { // nobody here wants it
		s := step{window: k, units: -l.balance}
		l.balance = 0
		return s
	}
	return l.wants(k)
}

// wants is the next increment for the line, or for what is owed, or the sleep until it.
func (l *Limiter) wants(k int64) step {
	units, latest := l.queued, k
	if l.debt > 0 {
		units, latest = l.debt, k+horizon
	}
	first := reaches(l.rate, max(k, l.closed+1), 1)
	if first > latest {
		return step{until: startOf(k + first - latest).Add(rand.N(stagger))} //nolint:gosec // spreads replicas, no secret
	}
	q := quota(l.rate, first)
	if units = min(units, q); first < l.cautious {
		units = min(units, quota(l.share, first))
	}
	if units == 0 {
		l.closed = first
		return step{until: startOf(k + 1)}
	}
	return step{window: first, units: units, quota: q}
}

// returns gives back what calls did not use: to windows to come, from the last one on, or
// to the balance of this one.
func (l *Limiter) returns(k int64) (s step, some bool) {
	if last := len(l.ahead) - 1; last >= 0 && l.ahead[last].window <= k {
		l.ahead = nil
	}
	if last := len(l.ahead) - 1; l.refund > 0 && last >= 0 {
		from := &l.ahead[last]
		units := min(from.units, l.refund)
		s = step{window: from.window, units: -units}
		l.refund -= units
		if from.units -= units; from.units == 0 {
			l.ahead = l.ahead[:last]
		}
		return s, true
	}
	l.balance, l.refund = l.balance+l.refund, 0
	return step{}, false
}

// add makes a step's increment.
func (l *Limiter) add(s step) {
	now := l.group.time()
	within := min(max(startOf(windowAt(now)+2).Sub(now), window), 2*window)
	ctx, cancel := context.WithTimeout(l.group.alive, within)
	defer cancel()
	total, err := l.group.Counter.Add(ctx, l.counterOf(s.window), s.units, "")
	if err != nil && !errors.Is(err, ErrNotShared) {
		l.group.Unanswered(l.Kind)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed(s, err)
		return
	}
	l.failures = 0
	if l.away {
		l.back()
	}
	switch {
	case s.units < 0:
		l.closed = min(l.closed, s.window-1)
	case s.units > 0:
		l.answered(s, total)
	}
}

// answered takes what an increment was admitted.
func (l *Limiter) answered(s step, total int64) {
	granted := min(max(s.quota-(total-s.units), 0), s.units)
	now := l.group.time()
	if granted < s.units {
		l.contended = now
	}
	if total >= s.quota || s.window < l.cautious {
		l.closed = max(l.closed, s.window)
	}
	k := windowAt(now)
	l.past.add(k, granted)
	repaid := min(l.debt, granted)
	l.debt -= repaid
	switch {
	case s.window > k:
		l.ahead = append(l.ahead, charge{s.window, granted})
		l.refund += granted - repaid // of a debt that was settled meanwhile
	case k <= s.window+1:
		l.turnTo(s.window)
		l.balance += granted - repaid
		l.admit()
	}
}
