package service

import "time"

// KeyStatus is a key as people on call may see it.
type KeyStatus struct {
	End      string     `json:"end"`   // its last four characters; empty if it is too short for that
	State    string     `json:"state"` // usable, or why it rests (a failure code)
	Until    *time.Time `json:"until"` // when it is tried again; null if it is usable
	InFlight int        `json:"in_flight"`
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

// state is usable, or what stands against the key: it rests, or was refused or
// spent and has not worked since, however long ago that is. The caller holds the
// lock.
func (key *apiKey) state(now time.Time) string {
	if key.doubted || key.restsTil.After(now) {
		return string(key.why)
	}
	return usable
}

// list tells the state of each key.
func (k *keys) list() []KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var list []KeyStatus
	for _, key := range k.all {
		s := KeyStatus{End: key.end(), State: key.state(now), InFlight: key.inUse}
		if s.State != usable {
			until := later(now, key.restsTil).UTC()
			s.Until = &until
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
	count := map[string]int64{usable: 0}
	for _, key := range k.all {
		count[key.state(now)]++
	}
	return count
}
