package upstream

import (
	"iter"
	"maps"
	"slices"
	"time"

	"gemini-client/events"
)

// maxModelRests bounds the models that are left alone with one key. Requesters
// name the models.
const maxModelRests = 64

// rest is a time in which something is left alone: a key, or one model with one
// key.
type rest struct {
	until   time.Time   // not to be used before
	why     events.Code // it rests, or is probed
	probing bool        // one call probes it before others may use it
	probe   *lease      // that call
}

// readyAt returns when it can be used: now, after it has rested, or, while a call
// probes it, when to look at that again.
func (r *rest) readyAt(now time.Time) time.Time {
	if r.probe != nil && !r.until.After(now) {
		return now.Add(probePolling)
	}
	return latest(now, r.until)
}

// standsAt reports whether it rests, or has to be probed.
func (r *rest) standsAt(now time.Time) bool { return r.probing || r.until.After(now) }

// lengthen makes it rest, and returns for how long, if it did not before or not
// for this reason.
func (r *rest) lengthen(now time.Time, by time.Duration, why events.Code) (rests time.Duration) {
	until := now.Add(by)
	if !until.After(now) || !until.After(r.until) {
		return 0
	}
	if !r.until.After(now) || r.why != why { // or it rests for a worse reason now
		rests = by
	}
	r.until, r.why = until, why
	return rests
}

// need is what a call needs a key for.
type need struct {
	model  string
	tokens int     // that the answer may have: max_tokens
	prompt int     // bytes of its texts
	avoid  *apiKey // if another is as good
	body   []byte  // hash of the body that keeps to one key; nil: any key

	without []*apiKey // if any other can be used
	prefer  *apiKey   // if it can be used
}

// limit names a limit that was hit with a model: its calls, or the tokens that
// the credit affords.
type limit struct {
	model string
	dear  bool
}

// modelRest is a model that is left alone with one key.
type modelRest struct {
	rest
	above int // it rests for answers that may have more tokens than that
}

// rests yields what may keep a key from a call: its own rest, and those of the
// model. The caller holds the lock, as for everything below.
func (key *apiKey) rests(n need) iter.Seq[*rest] {
	return func(yield func(*rest) bool) {
		if !yield(&key.rest) || len(key.models) == 0 {
			return
		}
		if r := key.models[limit{model: n.model}]; r != nil && !yield(&r.rest) {
			return
		}
		if r := key.models[limit{model: n.model, dear: true}]; r != nil && n.tokens > r.above {
			yield(&r.rest)
		}
	}
}

// readyAt returns when the key can be used for a call, and what keeps it until
// then.
func (key *apiKey) readyAt(now time.Time, n need) (at time.Time, why events.Code) {
	at = now
	for r := range key.rests(n) {
		if until := r.readyAt(now); until.After(at) {
			at, why = until, r.why
		}
	}
	return at, why
}

// modelRest returns the rest of a limit, a new one if there is none. If there are
// too many it forgets one that is over, else the one that ends first.
func (key *apiKey) modelRest(of limit, now time.Time) *modelRest {
	if r := key.models[of]; r != nil {
		return r
	}
	if key.models == nil {
		key.models = map[limit]*modelRest{}
	}
	if len(key.models) >= maxModelRests {
		delete(key.models, key.leastModelRest(now))
	}
	r := &modelRest{}
	key.models[of] = r
	return r
}

func (key *apiKey) leastModelRest(now time.Time) (least limit) {
	var first *modelRest
	for of, r := range key.models {
		switch {
		case !r.standsAt(now):
			return of
		case first == nil || r.until.Before(first.until):
			least, first = of, r
		}
	}
	return least
}

// limitedModels lists the models that have been limited with a key.
func (k *keys) limitedModels() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	names := map[string]bool{}
	for _, key := range k.all {
		for of := range key.models {
			names[of.model] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// modelWait returns how long until a key can be used for a call of a model, and
// why: 0 if one can be used now, or if it is not for the model's sake.
func (k *keys) modelWait(n need) (time.Duration, events.Code) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var soonest time.Time
	var because events.Code
	forTheModel := false
	for _, key := range k.all {
		at, why := key.readyAt(now, n)
		if !at.After(now) {
			return 0, ""
		}
		forTheModel = forTheModel || !key.rest.readyAt(now).After(now)
		if soonest.IsZero() || at.Before(soonest) {
			soonest, because = at, why
		}
	}
	if !forTheModel { // every key rests, whatever the model is
		return 0, ""
	}
	return soonest.Sub(now), because
}
