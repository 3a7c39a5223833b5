package upstream

import (
	"time"

	"gemini-client/events"
)

// KeyStatus is a key as people on call may see it.
type KeyStatus struct {
	End      string     `json:"end"`   // its last four characters; empty if it is too short for that
	State    string     `json:"state"` // usable, or why it cools down or is probed (a failure code)
	Until    *time.Time `json:"until"` // when it is tried again; null if it is usable
	InFlight int        `json:"in_flight"`
}

// Status is how the way to OpenRouter is now.
type Status struct {
	Breaker string           `json:"breaker"` // closed, half-open, open
	Keys    map[string]int64 `json:"keys"`    // how many, by state
	KeyList []KeyStatus      `json:"key_list"`
}

// Status returns the state of the circuit breaker and of the keys. It shows no
// more of a key than its last four characters.
func (u *Caller) Status() Status {
	return Status{Breaker: u.breakerState().String(), Keys: u.keys.states(), KeyList: u.keys.list()}
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
// or spent and has not worked since, however long ago that is. The caller holds
// the lock.
func (key *apiKey) state(now time.Time) string {
	if key.standsAt(now) {
		return string(key.why)
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
		s := KeyStatus{End: key.end(), State: key.state(now), InFlight: key.inFlight}
		if s.State != usable {
			until := latest(now, key.until).UTC()
			s.Until = &until
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
