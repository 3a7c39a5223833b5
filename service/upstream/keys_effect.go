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
	l.key.inFlight--
	if l.key.probe == l {
		l.key.probe = nil
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
	if l.key.probe == l {
		l.key.probe, l.key.probing = nil, false
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

// failed ends a lease whose attempt failed, which may make the key cool down. It
// returns how long, if it did not before or not for this reason.
func (k *keys) failed(l *lease, e *Error) (cools time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.end()
	key, now := l.key, time.Now()
	until := now.Add(k.cooldownAfter(key, e))
	if !until.After(now) || !until.After(key.coolUntil) {
		return 0
	}
	if !key.coolUntil.After(now) || key.why != e.Code { // or it cools down for a worse reason now
		cools = until.Sub(now)
	}
	key.coolUntil, key.why = until, e.Code
	return cools
}

// cooldownAfter is how long a key cools down after a failure. The caller
// holds the lock.
func (k *keys) cooldownAfter(key *apiKey, e *Error) time.Duration {
	switch e.key {
	case keyFine:
	case keyLimited:
		if e.Wait > 0 {
			return e.Wait
		}
		return k.cooldown
	case keyRefused:
		if key.refusals++; key.refusals >= refusals {
			key.probing = true
			return refusedCooldown
		}
	case keySpent:
		key.probing = true
		return spentCooldown
	}
	return 0
}
