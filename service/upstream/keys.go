package upstream

import (
	"context"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"gemini-client/events"
	"gemini-client/service/config"
)

// keys is the pool of API keys. A call gets a key whose turn is soonest, and of
// those the one with the fewest calls in flight. A key that cools down is not
// used until its time.
type keys struct {
	cooldown time.Duration
	newKey   func(secret string) *apiKey

	mu   sync.Mutex
	all  []*apiKey
	next int // where the search begins, so that equal keys take turns
}

type apiKey struct {
	secret   string
	policies failsafe.Executor[answer] // of one attempt with this key
	turns    *turns                    // its rate limit; nil if there is none

	inFlight  int
	refusals  int         // 401 since the last success
	probing   bool        // one call probes it before others may use it
	probe     *lease      // that call
	coolUntil time.Time   // not to be used before
	why       events.Code // it cools down, or is probed
}

// lease is the use of a key for one attempt.
type lease struct {
	key  *apiKey
	over bool
}

func newKeys(c config.OpenRouter) *keys {
	k := &keys{cooldown: c.Cooldown(), newKey: func(secret string) *apiKey {
		key := &apiKey{secret: secret}
		key.policies, key.turns = composeKey(c)
		return key
	}}
	for _, secret := range c.APIKeys {
		k.all = append(k.all, k.newKey(secret))
	}
	return k
}

// acquire returns a key for one attempt, waiting up to maxWait for one that
// cools down, but not for its turn. It avoids one key if another is as good. The
// caller ends the lease with release, succeeded or failed. Errors: an *Error if no
// key can be used soon enough; ctx's cause.
func (k *keys) acquire(ctx context.Context, maxWait time.Duration, avoid *apiKey) (*lease, error) {
	giveUp := time.Now().Add(maxWait)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		l, wait, err := k.choose(ctx, giveUp, avoid)
		if l != nil || err != nil {
			return l, err
		}
		_ = sleep(ctx, wait) // ctx is looked at above
	}
}

// choose returns a key, or how long until there may be one, or that this is too
// long.
func (k *keys) choose(ctx context.Context, giveUp time.Time, avoid *apiKey) (*lease, time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	best, cooling := k.search(now, avoid)
	k.next++
	if best == nil {
		until := cooling.readyAt(now)
		if until.After(giveUp) {
			return nil, 0, noKey(cooling.why, until, now)
		}
		return nil, until.Sub(now), nil
	}
	turn := best.turns.next(now)
	if deadline, ok := ctx.Deadline(); ok && turn.After(deadline) {
		return nil, 0, noKey(events.RateLimited, turn, now)
	}
	l := &lease{key: best}
	best.turns.join()
	best.inFlight++
	if best.probing {
		best.probe = l
	}
	return l, 0, nil
}

// search returns the best key that is usable now, or the one that is the first
// to become so. The caller holds the lock.
func (k *keys) search(now time.Time, avoid *apiKey) (best, cooling *apiKey) {
	for i := range k.all {
		key := k.all[(k.next+i)%len(k.all)]
		switch {
		case !key.readyAt(now).After(now):
			if best == nil || key.better(best, now, avoid) {
				best = key
			}
		case cooling == nil || key.readyAt(now).Before(cooling.readyAt(now)):
			cooling = key
		}
	}
	return best, cooling
}

// readyAt returns when the key can be used: now, after it has cooled down, or,
// while a call probes it, when to look at that again.
func (key *apiKey) readyAt(now time.Time) time.Time {
	if key.probe != nil && !key.coolUntil.After(now) {
		return now.Add(probePolling)
	}
	return latest(now, key.coolUntil)
}

// better prefers the sooner turn, then a key that is not to be avoided, then the
// one with fewer calls in flight.
func (key *apiKey) better(than *apiKey, now time.Time, avoid *apiKey) bool {
	mine, theirs := key.turns.next(now), than.turns.next(now)
	switch {
	case !mine.Equal(theirs):
		return mine.Before(theirs)
	case key == avoid || than == avoid:
		return than == avoid
	}
	return key.inFlight < than.inFlight
}

// usable reports whether a lease's key may still be used when its turn has come.
func (k *keys) usable(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := l.key
	if key.probing && key.probe == nil {
		key.probe = l
	}
	return !key.coolUntil.After(time.Now()) && (key.probe == nil || key.probe == l)
}

// cooling returns how long until a key can be used, and why: 0 if one can be
// used now. Rate limits do not count: calls wait for their turn in their slots.
func (k *keys) cooling() (time.Duration, events.Code) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	best, cooling := k.search(now, nil)
	if best != nil {
		return 0, ""
	}
	return cooling.readyAt(now).Sub(now), cooling.why
}
