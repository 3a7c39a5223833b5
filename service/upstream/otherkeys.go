package upstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// otherKeys is how many other keys are asked, at most, whether a model is there of which
// OpenRouter said to one that no endpoint is left.
const otherKeys = 3

// asksOtherKey has a call ask a model once more with another key, if OpenRouter's words
// may be about the account of the first one: its settings leave it no endpoint, or a
// guardrail of the key does. While one call asks, others go on with their next model;
// those that have none ask another key as well.
func (u *Caller) asksOtherKey(ctx context.Context, c *call, name string, e *Error) bool {
	var api *openrouter.Error
	if c.last != e || !errors.As(e.cause, &api) || saysGone(api) {
		return false // it was not asked just now, or it is gone whoever asks
	}
	if !slices.Contains(c.without, c.lease.key) {
		c.without = append(c.without, c.lease.key)
	}
	if len(c.without) > otherKeys || !u.keys.another(c.need(c.at()), time.Now().Add(u.patience(ctx))) || !u.retired.question(name, c, e, u.instead(c) == "") {
		return false
	}
	c.questions, c.looks = true, name
	return true
}

// endQuestion draws the conclusion from what another key was told. Only an answer shows
// that the first keys are the reason: then they are left alone for this model. Every other
// failure is the call's own, as if that key had been asked first.
func (u *Caller) endQuestion(ctx context.Context, c *call, name string, err error) {
	if !c.questions {
		return
	}
	c.questions, c.looks = false, ""
	if e := errorOf(err); e != nil && c.passed[name] == e {
		return // gone for that one too
	}
	delete(c.passed, name)
	u.retired.dismiss(name, c)
	if c.answer == nil || c.fromCache() {
		return
	}
	for _, key := range c.without {
		if u.keys.lacks(key, name) {
			u.tel.Logger.WarnContext(ctx, "OpenRouter has no endpoint of the model for an API key, and has one for another: the model's calls leave that key alone",
				"key", "…"+key.end(), "model", name, "looked_at_again_in", retiredFor,
				"way_out", "compare the accounts of the keys: data policy (https://openrouter.ai/settings/privacy), ignored providers, guardrails of the workspace and the key")
		}
	}
}

// question has a call ask whether a model is gone for other keys as well. Until it is
// known the others leave the model alone, so that they make no call in vain. It reports
// whether the call is to ask, as another one does already unless it must.
func (r *retired) question(name string, c *call, e *Error, must bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.entry(name)
	switch {
	case one.gone != nil && one.asks == nil:
		return false // that is known
	case one.gone != nil:
		return must || one.asks == c
	}
	one.gone, one.asks, one.since, one.look = e, c, time.Now(), time.Now().Add(retiredFor)
	return true
}

// dismiss forgets what a call asked about.
func (r *retired) dismiss(name string, c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.all[name]; one != nil && one.asks == c {
		delete(r.all, name)
	}
}

// askedWith returns the keys that were told that a model is gone, which others are to be
// preferred to, and of one in doubt the key that is to be preferred.
func (r *retired) askedWith(name string) (told []*apiKey, doubted *apiKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	switch {
	case one == nil:
		return nil, nil
	case one.gone == nil:
		return nil, one.doubted
	}
	return slices.Clone(one.keys), nil
}

// another reports whether a call could be made by a time with a key that it has not used.
func (k *keys) another(n need, by time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	return slices.ContainsFunc(k.all, func(key *apiKey) bool {
		at, _ := key.readyAt(now, n)
		return !slices.Contains(n.without, key) && !at.After(by) && !key.next(now).After(by)
	})
}

// lacks leaves a key alone for a model that it does not reach, until one call probes it. It
// reports whether that is new.
func (k *keys) lacks(key *apiKey, model string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	r := key.modelRest(limit{model: model}, now)
	r.probing = true
	return r.lengthen(now, retiredFor, events.ModelUnavailable) > 0
}

// forgetLacks has a key be asked for every model: the keys that reached them may be gone
// from the pool. The caller holds the lock.
func (key *apiKey) forgetLacks() {
	for of, r := range key.models {
		if r.why == events.ModelUnavailable {
			delete(key.models, of)
		}
	}
}
