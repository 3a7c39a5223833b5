package limits

import (
	"math/rand/v2"
	"time"
)

const (
	contention  = 5 * time.Second  // for which others count who took what was wanted here
	likelyShare = 8                // those that are sent away come back at the rate divided by it at least
	leastShare  = 64               // a process reckons with at least the rate divided by it
	comebackMax = 10 * time.Minute // over which those that were sent away come back at most
	roomFor     = 3                // windows whose calls may wait here
)

// pace is the rate with which this process has to reckon: the limit, or its share of it
// where others want it too. The lock is held.
func (l *Limiter) pace(now time.Time) int64 {
	switch {
	case l.away:
		return l.share
	case now.Sub(l.contended) < contention:
		return max(1, l.rate/leastShare, min(l.rate, l.past.perMinute(windowAt(now))))
	}
	return l.rate
}

// notice sees that the clock was set back: windows that seem to be closed for long are
// not, and the counters know which are. An answer of the window before is no such sign.
func (l *Limiter) notice(k int64) {
	back := l.of - k
	if back <= 1 {
		return
	}
	l.of, l.balance, l.ahead, l.past = k, 0, nil, history{}
	l.closed, l.cautious = l.closed-back, l.cautious-back
	l.group.doubt()
}

// Wait is how long a call that joins the line now waits, as far as can be known.
func (l *Limiter) Wait() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wait()
}

func (l *Limiter) wait() time.Duration {
	now := l.group.time()
	k := windowAt(now)
	l.notice(k)
	before := l.queued + l.debt
	if l.of == k {
		before -= l.balance
	}
	if before < 0 {
		return 0
	}
	if first := reaches(l.pace(now), max(k, l.closed+1), before+1); first > k {
		return startOf(first).Sub(now)
	}
	return 0
}

// opens is the first window from one on that admits something.
func (l *Limiter) opens(from int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notice(windowAt(l.group.time()))
	if l.balance > 0 && l.of >= from {
		return l.of
	}
	return reaches(l.rate, max(from, l.closed+1), 1)
}

// Room is how many more units may be asked for now by calls that wait for so long: what this
// window and the next two admit, or as many as begin meanwhile, less those that wait already;
// and if there are none, when it is worth while to look again.
func (l *Limiter) Room(patience time.Duration) (units int64, again time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.group.time()
	k := windowAt(now)
	l.notice(k)
	ahead := min(roomFor, 1+int64(patience/window))
	units = admitted(l.pace(now), max(k, l.closed+1), k+ahead) - l.queued - l.debt
	if l.of == k {
		units += l.balance
	}
	if units > 0 {
		return units, 0
	}
	return 0, max(window/2, l.wait()-time.Duration(ahead-1)*window)
}

// sendAway is when a call comes back that would wait for so long: behind those that were
// sent away before it, at the pace of the limit.
func (l *Limiter) sendAway(wait time.Duration, units int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.group.now()
	at := now.Add(wait)
	if l.comeback.After(at) {
		at = l.comeback
	}
	each := max(1, time.Duration(float64(time.Minute)*float64(units)/float64(max(l.pace(l.group.time()), l.rate/likelyShare))))
	if l.comeback = at.Add(min(each, comebackMax)); at.Sub(now) > wait+comebackMax {
		at = now.Add(wait + rand.N(comebackMax)) //nolint:gosec // spreads them, no secret
		l.comeback = at
	}
	return at.Sub(now) + rand.N(min(each, comebackMax)) //nolint:gosec // as above
}
