package upstream

import "time"

// Keys that OpenRouter refused or that are spent are probed again after these
// times: an outage of OpenRouter has refused valid keys, and accounts are topped
// up.
const (
	refusedCooldown = time.Minute
	spentCooldown   = 5 * time.Minute
	refusals        = 2 // in a row, before a key cools down
)

// end ends the lease. The caller holds the lock.
func (l *lease) end() {
	l.over = true
	l.leaveLine() // of an attempt that was given up before it waited for its turn
	l.key.inFlight--
	for _, r := range l.probes {
		if r.probe == l {
			r.probe = nil
		}
	}
}

// leaveLine gives up the lease's place in the line of its key, if it still has one.
// Only the call that holds the lease calls it.
func (l *lease) leaveLine() {
	if l.inLine {
		l.inLine = false
		l.key.turns.leave()
	}
}

// probe makes the lease the probe of what has to be probed and is not.
func (l *lease) probe() {
	for r := range l.key.rests(l.need) {
		if r.probing && r.probe == nil {
			r.probe = l
			l.probes = append(l.probes, r)
		}
	}
}

// works notes that OpenRouter has accepted the key: the answer is coming.
func (k *keys) works(l *lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.works()
}

func (l *lease) works() {
	l.key.refusals = 0
	if l.poor {
		l.poor = false
		l.key.budget.outdated(time.Now())
	}
	for _, r := range l.probes {
		if r.probe == l {
			r.probe, r.probing = nil, false
		}
	}
}

// release ends a lease whose attempt says nothing about the key. It does nothing
// to one that has ended.
func (k *keys) release(l *lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !l.over {
		l.end()
	}
}

// succeeded ends a lease whose attempt got an answer.
func (k *keys) succeeded(l *lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.works()
	l.end()
}

// failed ends a lease whose attempt failed, which may make the key cool down, or
// rest for the model alone. It returns how long, if it did not before or not for
// this reason. No rest is longer than KEYS_REST_MAX: then a probe shows whether the
// limit still stands.
func (k *keys) failed(l *lease, e *Error) (rests time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.end()
	now := time.Now()
	r, wait := k.restAfter(l, e, now)
	if r == nil {
		return 0
	}
	if wait > k.restMax {
		wait, r.probing = k.restMax, true
	}
	return r.lengthen(now, wait, e.Code)
}

// restAfter returns what has to rest after a failure, and for how long; nil if
// nothing has. The caller holds the lock.
func (k *keys) restAfter(l *lease, e *Error, now time.Time) (*rest, time.Duration) {
	key := l.key
	switch e.key {
	case keyFine:
	case keyLimited:
		return &key.rest, k.limitedFor(e)
	case keyModelLimited:
		return &key.modelRest(limit{model: l.need.model}, now).rest, k.limitedFor(e)
	case keyDear:
		r := key.modelRest(limit{model: l.need.model, dear: true}, now)
		if !r.until.After(now) || e.affords < r.above {
			r.above = e.affords
		}
		r.probing = true
		return &r.rest, spentCooldown
	case keyRefused:
		if key.refusals++; key.refusals >= refusals {
			key.probing = true
			return &key.rest, refusedCooldown
		}
	case keySpent:
		key.probing = true
		return &key.rest, spentCooldown
	}
	return nil, 0
}

// limitedFor is the wait that was asked for, or KEYS_COOLDOWN_SECONDS.
func (k *keys) limitedFor(e *Error) time.Duration {
	if e.Wait > 0 {
		return e.Wait
	}
	return k.cooldown
}
