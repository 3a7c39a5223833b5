package upstream

import (
	"maps"
	"math"
	"slices"
	"time"

	"gemini-client/events"
	"gemini-client/telemetry"
)

// KeyStatus is a key as people on call may see it.
type KeyStatus struct {
	End      string     `json:"end"`   // its last four characters; empty if it is too short for that
	State    string     `json:"state"` // usable, or why it cools down, is probed or is passed over (a failure code)
	Until    *time.Time `json:"until"` // when it is tried again; null if it does not rest
	InFlight int        `json:"in_flight"`

	// What OpenRouter told of it when it was last asked. Null: no limit, no end, or
	// not known.
	Limit     *float64   `json:"limit_usd"`
	Remaining *float64   `json:"remaining_usd"` // less what calls have cost since
	Reset     string     `json:"limit_reset"`   // daily, weekly, monthly; empty: never
	ExpiresAt *time.Time `json:"expires_at"`
}

// ModelStatus is a model whose requests are not called for now.
type ModelStatus struct {
	Model string    `json:"model"`
	State string    `json:"state"` // retired: OpenRouter says it is gone; open or half-open: its circuit breaker; else why it, or longer answers of it, rest with every key (a failure code)
	Until time.Time `json:"until"` // when it is tried again
}

// Status is how the way to OpenRouter is now.
type Status struct {
	Breaker string           `json:"breaker"` // closed, half-open, open
	Keys    map[string]int64 `json:"keys"`    // how many, by state
	KeyList []KeyStatus      `json:"key_list"`
	Models  []ModelStatus    `json:"models"` // that are left alone; null if none is

	Expiring []ModelExpiry `json:"expiring"` // models of the configuration that have an expiration date; null if none has
}

// Status returns the state of the circuit breaker and of the keys. It shows no
// more of a key than its last four characters.
func (u *Caller) Status() Status {
	return Status{Breaker: u.breakerState().String(), Keys: u.keys.states(), KeyList: u.keys.list(), Models: u.modelsAlone(), Expiring: u.expiring(time.Now())}
}

// expiring lists the models that have an expiration date.
func (u *Caller) expiring(now time.Time) []ModelExpiry {
	list := u.listed.expiries()
	for i := range list {
		list[i].Expired = u.listed.expired(list[i].Model, now)
	}
	return list
}

// modelsAlone lists the models that are left alone: retired, then sick ones first.
func (u *Caller) modelsAlone() []ModelStatus {
	var list []ModelStatus
	now := time.Now()
	retired := u.retired.list()
	for _, name := range slices.Sorted(maps.Keys(retired)) {
		list = append(list, ModelStatus{Model: name, State: stateRetired, Until: latest(now, retired[name]).UTC()})
	}
	states := u.models.states()
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if state := states[name]; state != telemetry.BreakerClosed {
			list = append(list, ModelStatus{Model: name, State: state.String(), Until: now.Add(u.models.delay(name)).UTC()})
		}
	}
	for _, name := range u.keys.limitedModels() {
		if wait, why := u.keys.modelWait(need{model: name, tokens: math.MaxInt}); wait > 0 {
			list = append(list, ModelStatus{Model: name, State: string(why), Until: now.Add(wait).UTC()})
		}
	}
	return list
}

// Pause returns how long no request should be taken, and why: 0 when calls can
// be made.
func (u *Caller) Pause() (time.Duration, string) {
	if wait := u.breaker.RemainingDelay(); wait > 0 {
		return wait, "circuit breaker open"
	}
	if wait, code := u.keys.cooling(); wait > 0 {
		return wait, "no usable API key (" + string(code) + ")"
	}
	return 0, ""
}

// Limit returns how many more requests should be taken when so many have been taken
// and are not settled. While OpenRouter, or the only keys there are, are tried with a
// few calls, no more than these calls are: what has been taken and has not begun its
// call counts among them.
func (u *Caller) Limit(taken int) int {
	limit, limited := u.keys.onlyProbes()
	if !u.breaker.IsClosed() {
		limit, limited = probes, true
	}
	if !limited {
		return math.MaxInt
	}
	return limit - (taken - int(u.answering.Load()) + int(u.waiting.Load()))
}

// end is what may be shown of a key: its last four characters, "" if too few
// others would stay unknown.
func (key *apiKey) end() string {
	const shown, hidden = 4, 12
	if len(key.secret) < shown+hidden {
		return ""
	}
	return key.secret[len(key.secret)-shown:]
}

const usable = "usable"

// state is usable, or what stands against the key: it cools down, or was refused
// or spent and has not worked since, however long ago that is, or OpenRouter says
// that nothing is left of its limit or its time. The caller holds the lock.
func (key *apiKey) state(now time.Time) string {
	switch {
	case key.standsAt(now):
		return string(key.why)
	case !key.budget.pays(0, now):
		return string(key.budget.why(now))
	}
	return usable
}

// list returns the state of each key.
func (k *keys) list() []KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var list []KeyStatus
	for _, key := range k.all {
		s := KeyStatus{End: key.end(), State: key.state(now), InFlight: key.inFlight, Limit: key.budget.Limit, Reset: key.budget.Reset}
		if key.standsAt(now) {
			until := latest(now, key.until).UTC()
			s.Until = &until
		}
		if left, limited := key.budget.left(); limited {
			s.Remaining = &left
		}
		if end := key.budget.ExpiresAt; !end.IsZero() {
			s.ExpiresAt = &end
		}
		list = append(list, s)
	}
	return list
}

// states counts the keys by state, with a 0 for each state that a key can have.
func (k *keys) states() map[string]int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	count := map[string]int64{usable: 0, string(events.RateLimited): 0, string(events.Unauthorized): 0, string(events.InsufficientCredits): 0}
	for _, key := range k.all {
		count[key.state(now)]++
	}
	return count
}
