package service

import "time"

// KeyStatus is a key as people on call may see it.
type KeyStatus struct {
	End      string     `json:"end"`   // its last four characters
	State    string     `json:"state"` // usable, or why it rests (a failure code)
	Until    *time.Time `json:"until"` // when it is tried again; null if it is usable
	InFlight int        `json:"in_flight"`
}

// end is what may be shown of a key: its last four characters, if enough
// others stay unknown.
func (key *apiKey) end() string {
	const shown, hidden = 4, 12
	if len(key.secret) < shown+hidden {
		return "…"
	}
	return "…" + key.secret[len(key.secret)-shown:]
}

// unusable reports whether nothing good is known of the key: it rests, or was
// refused or spent and has not worked since, however long ago that is. The
// caller holds the lock.
func (key *apiKey) unusable(now time.Time) bool { return key.doubted || key.restsTil.After(now) }

// list tells the state of each key.
func (k *keys) list() []KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var list []KeyStatus
	for _, key := range k.all {
		s := KeyStatus{End: key.secret[max(0, len(key.secret)-4):], State: "usable", InFlight: key.inUse}
		if key.unusable(now) {
			until := later(now, key.restsTil).UTC()
			s.State, s.Until = string(key.why), &until
		}
		list = append(list, s)
	}
	return list
}

// states counts the keys by what they are doing, for the metric.
func (k *keys) states() map[string]int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	count := map[string]int64{"usable": 0}
	for _, key := range k.all {
		state := "usable"
		if key.unusable(now) {
			state = string(key.why)
		}
		count[state]++
	}
	return count
}
