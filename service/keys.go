package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gemini-client/events"
)

// Keys that OpenRouter refused or that are spent are tried again after these
// times, since an outage of OpenRouter has refused valid keys, and accounts
// are topped up.
const (
	refusedRest = time.Minute
	spentRest   = 5 * time.Minute
	refusals    = 2 // in a row, before a key is set aside
)

// keys is the pool of API keys. A call takes a key that is free at once, and of
// those the one with the fewest calls under way; a key that must rest is left
// alone until its time.
type keys struct {
	cooldown time.Duration
	interval time.Duration // between two calls with one key; 0: no limit

	mu   sync.Mutex
	all  []*apiKey
	next int // where the search begins, so that equals take turns
}

type apiKey struct {
	secret string

	inUse    int
	due      time.Time   // the rate limit lets the next call through then
	refused  int         // 401 since the last success
	doubted  bool        // it was set aside: one call tries it before others may
	probe    *lease      // that call
	restsTil time.Time   // not to be used before
	why      events.Code // the rest's reason
}

// lease is the use of a key for one call.
type lease struct {
	key  *apiKey
	over bool
}

// noKeyError says that no key can be used soon enough.
type noKeyError struct {
	until time.Time
	code  events.Code
	now   time.Time
}

func (e *noKeyError) Error() string {
	return fmt.Sprintf("no API key can be used before %s (%s)", e.until.UTC().Format(time.RFC3339), e.code)
}

func (e *noKeyError) fault() fault {
	text := map[events.Code]string{
		events.Unauthorized:        "OpenRouter refuses every API key of the service",
		events.InsufficientCredits: "The credits of every API key of the service are used up",
	}[e.code]
	if text == "" {
		text = "Every API key of the service has reached its rate limit"
	}
	return fault{
		code: e.code, heals: healsLater, wait: max(0, e.until.Sub(e.now)),
		text: fmt.Sprintf("%s; the next one is tried at %s.", text, e.until.UTC().Format(time.RFC3339)),
	}
}

func newKeys(secrets []string, perMinute int, cooldown time.Duration) *keys {
	k := &keys{cooldown: cooldown}
	if perMinute > 0 {
		k.interval = (time.Minute + time.Duration(perMinute) - 1) / time.Duration(perMinute)
	}
	for _, secret := range secrets {
		k.all = append(k.all, &apiKey{secret: secret})
	}
	return k
}

// acquire returns a key for one call, waiting up to maxWait for one that rests,
// and for its turn under the rate limit up to ctx's deadline: that wait is our
// own doing, and there is nothing wrong with the request. It avoids one key if
// another is as good. The caller gives the key back with done. Errors:
// *noKeyError, ctx's cause.
func (k *keys) acquire(ctx context.Context, maxWait time.Duration, avoid *apiKey) (*lease, error) {
	give := time.Now().Add(maxWait)
	for {
		l, wait, err := k.choose(ctx, give, avoid)
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			_ = sleep(ctx, wait) // ctx is looked at below
		}
		switch {
		case ctx.Err() != nil:
			k.done(l, fault{}, false)
			return nil, context.Cause(ctx)
		case l != nil && (wait == 0 || k.confirm(l)):
			return l, nil
		}
	}
}

// sleep waits; it returns ctx's cause when that ends first.
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

// choose returns a key and how long the rate limit wants its call to wait, or
// no key and how long until there may be one, or that this is too long.
func (k *keys) choose(ctx context.Context, give time.Time, avoid *apiKey) (*lease, time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	best, resting := k.search(now, avoid)
	k.next++
	if best == nil {
		until := resting.readyAt(now)
		if until.After(give) {
			return nil, 0, &noKeyError{until: until, code: resting.why, now: now}
		}
		return nil, until.Sub(now), nil
	}
	turn := later(now, best.due)
	if deadline, ok := ctx.Deadline(); ok && turn.After(deadline) {
		return nil, 0, &noKeyError{until: turn, code: events.RateLimited, now: now}
	}
	l := &lease{key: best}
	best.due = turn.Add(k.interval)
	best.inUse++
	if best.doubted {
		best.probe = l
	}
	return l, turn.Sub(now), nil
}

// search returns the best key that is usable now, or the one that is the first
// to become so. The caller holds the lock.
func (k *keys) search(now time.Time, avoid *apiKey) (best, resting *apiKey) {
	for i := range k.all {
		key := k.all[(k.next+i)%len(k.all)]
		switch {
		case !key.readyAt(now).After(now):
			if best == nil || key.better(best, now, avoid) {
				best = key
			}
		case resting == nil || key.readyAt(now).Before(resting.readyAt(now)):
			resting = key
		}
	}
	return best, resting
}

// readyAt returns when the key can be used: now, after its rest, or, while a
// call tries it, when to look at that again.
func (key *apiKey) readyAt(now time.Time) time.Time {
	if key.probe != nil && !key.restsTil.After(now) {
		return now.Add(probePollingTime)
	}
	return later(now, key.restsTil)
}

// better prefers the shorter wait for the rate limit, then a key that is not to
// be avoided, then the one with fewer calls under way.
func (key *apiKey) better(than *apiKey, now time.Time, avoid *apiKey) bool {
	mine, theirs := later(now, key.due), later(now, than.due)
	switch {
	case !mine.Equal(theirs):
		return mine.Before(theirs)
	case key == avoid || than == avoid:
		return than == avoid
	}
	return key.inUse < than.inUse
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// confirm reports whether a key may still be used after the wait for its turn.
// If not, it is given back.
func (k *keys) confirm(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := l.key
	if key.doubted && key.probe == nil {
		key.probe = l
	}
	if key.restsTil.After(time.Now()) || key.probe != nil && key.probe != l {
		l.end()
		return false
	}
	return true
}

// end gives the key back. The caller holds the lock.
func (l *lease) end() {
	l.over = true
	l.key.inUse--
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
	l.key.refused = 0
	if l.key.probe == l {
		l.key.probe, l.key.doubted = nil, false
	}
}

// done gives a key back and learns from how its call ended. No lease, and one
// that is over, change nothing. It returns how long a key rests that did not
// rest before, or not for this reason.
func (k *keys) done(l *lease, f fault, ok bool) (rests time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l == nil || l.over {
		return 0
	}
	if ok {
		l.works()
	}
	l.end()
	key, rest := l.key, time.Duration(0)
	switch f.key {
	case keyFine:
		return 0
	case keyRests:
		if rest = f.wait; rest == 0 {
			rest = k.cooldown
		}
	case keyRefused:
		if key.refused++; key.refused >= refusals {
			rest, key.doubted = refusedRest, true
		}
	case keySpent:
		rest, key.doubted = spentRest, true
	}
	now := time.Now()
	til := now.Add(rest)
	if rest == 0 || !til.After(key.restsTil) {
		return 0
	}
	if !key.restsTil.After(now) || key.why != f.code { // or it rests for a worse reason now
		rests = rest
	}
	key.restsTil, key.why = til, f.code
	return rests
}

// rest returns how long until a key can be used: 0 if one can be now. The rate
// limit is none of its business: calls wait for their turn in their slots.
func (k *keys) rest() (time.Duration, events.Code) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	best, resting := k.search(now, nil)
	if best != nil {
		return 0, ""
	}
	return resting.readyAt(now).Sub(now), resting.why
}
