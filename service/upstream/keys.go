package upstream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/limits"
)

// keys is the pool of API keys. A call gets a key whose turn is soonest, and of
// those the one with the fewest calls in flight, or, while the response cache is on,
// the one to which the call's body belongs. A key that cools down is not
// used until its time, and one that a provider has limited for a model is not used
// for that model.
type keys struct {
	cooldown time.Duration
	restMax  time.Duration // without a probe
	newKey   func(secret string) *apiKey
	changed  chan struct{} // holds a token while there may be keys that nothing is known of
	limited  atomic.Bool   // a key has a limit

	mu     sync.Mutex
	all    []*apiKey
	next   int                // where the search begins, so that equal keys take turns
	prices map[string]float64 // of a token of a prompt, by model, in USD
}

type apiKey struct {
	secret string
	turns  *turns        // its rate limit, if that is this process's alone; nil if there is none
	shared []limits.Want // its limits that hold for all workers: a call, and a token

	inFlight int
	refusals int // 401 since the last success
	rest         // its cool-down
	models   map[limit]*modelRest
	budget   keyBudget
}

// lease is the use of a key for one attempt.
type lease struct {
	key    *apiKey
	need   need
	probes []*rest // that it is the probe of
	poor   bool    // the key was thought to be unable to pay
	inLine bool    // of the key's rate limit
	over   bool
}

func newKeys(c config.OpenRouter) *keys {
	k := &keys{cooldown: c.Cooldown(), restMax: c.KeysRestMax, changed: make(chan struct{}, 1), newKey: func(secret string) *apiKey {
		return &apiKey{secret: secret, turns: newTurns(c.KeysMaxPerMinute)}
	}}
	for _, secret := range c.APIKeys {
		k.all = append(k.all, k.newKey(secret))
	}
	return k
}

// acquire makes l, which is not in use, the lease of a key for one attempt, waiting up
// to maxWait for one that cools down, but not for its turn. The caller ends the lease
// with release, succeeded or failed. Errors: an *Error if no key can be used soon
// enough; ctx's cause.
func (k *keys) acquire(ctx context.Context, maxWait time.Duration, n need, l *lease) error {
	giveUp := time.Now().Add(maxWait)
	*l = lease{need: n}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait, err := k.choose(ctx, giveUp, l)
		if wait == 0 {
			return err
		}
		_ = sleep(ctx, wait) // ctx is looked at above
	}
}

// choose leases a key, or returns how long until there may be one, or that this is
// too long.
func (k *keys) choose(ctx context.Context, giveUp time.Time, l *lease) (time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	best, cooling := k.search(now, l.need)
	k.next++
	if best == nil {
		until, why := cooling.readyAt(now, l.need)
		if until.After(giveUp) {
			return 0, noKey(why, until, now)
		}
		return until.Sub(now), nil
	}
	turn := best.next(now)
	if deadline, ok := ctx.Deadline(); ok && turn.After(deadline) {
		return 0, noKey(events.RateLimited, turn, now)
	}
	l.key, l.inLine, l.poor = best, true, !best.budget.pays(0, now)
	best.turns.join()
	best.inFlight++
	l.probe()
	return 0, nil
}

// search returns the best key that is usable now, or the one that is the first
// to become so. The caller holds the lock.
func (k *keys) search(now time.Time, n need) (best, cooling *apiKey) {
	var soonest time.Time
	cost := k.promptCost(n)
	for i := range k.all {
		key := k.all[(k.next+i)%len(k.all)]
		at, _ := key.readyAt(now, n)
		switch {
		case !at.After(now):
			if best == nil || key.better(best, now, n, cost) {
				best = key
			}
		case cooling == nil || at.Before(soonest):
			cooling, soonest = key, at
		}
	}
	return best, cooling
}

// better prefers one that the call has not used in vain, the one that it asks for, then
// one that can pay for the prompt, then the sooner turn, then a key that is not to be
// avoided, then the body's own key, or the one with fewer calls in flight.
func (key *apiKey) better(than *apiKey, now time.Time, n need, cost float64) bool {
	pays, theyPay := key.budget.pays(cost, now), than.budget.pays(cost, now)
	mine, theirs := key.next(now), than.next(now)
	left, theyAre := slices.Contains(n.without, key), slices.Contains(n.without, than)
	switch {
	case left != theyAre:
		return theyAre
	case n.prefer != nil && (key == n.prefer || than == n.prefer):
		return key == n.prefer
	case pays != theyPay:
		return pays
	case !mine.Equal(theirs):
		return mine.Before(theirs)
	case key == n.avoid || than == n.avoid:
		return than == n.avoid
	case n.body != nil:
		return key.weight(n.body) > than.weight(n.body)
	}
	return key.inFlight < than.inFlight
}

// next is when a call that chooses the key now may begin, as far as can be known.
func (key *apiKey) next(now time.Time) time.Time {
	turn := key.turns.next(now)
	for _, w := range key.shared {
		turn = latest(turn, now.Add(w.Limiter.Wait()))
	}
	return turn
}

// usable reports whether a lease's key may still be used when its turn has come.
func (k *keys) usable(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.probe()
	now := time.Now()
	for r := range l.key.rests(l.need) {
		if r.until.After(now) || r.probe != nil && r.probe != l {
			return false
		}
	}
	return true
}

// onlyProbes returns how many calls can probe the keys, where each key that can be
// used has to be probed first; false if one can be used as it is.
func (k *keys) onlyProbes() (calls int, only bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for _, key := range k.all {
		switch {
		case !key.standsAt(now):
			return 0, false
		case !key.until.After(now):
			calls++
		}
	}
	return calls, true
}

// cooling returns how long until a key can be used, and why: 0 if one can be
// used now. Rate limits do not count: calls wait for their turn in their slots.
func (k *keys) cooling() (time.Duration, events.Code) { return k.wait(need{}) }

// wait returns how long until a key can be used for a call, and why: 0 if one can
// be used now.
func (k *keys) wait(n need) (time.Duration, events.Code) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	best, cooling := k.search(now, n)
	if best != nil {
		return 0, ""
	}
	until, why := cooling.readyAt(now, n)
	return until.Sub(now), why
}
