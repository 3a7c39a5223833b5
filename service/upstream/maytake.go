package upstream

import (
	"math"
	"time"

	"gemini-client/service/limits"
)

// MayTake returns how many more requests of a tenant may be taken now, so that they need
// not wait for long for the limits that all workers share; if none, after which time to
// ask again, and why. The tenant "" stands for the limits of the keys. Where there is no
// limit, it is math.MaxInt.
func (u *Caller) MayTake(tenant string) (n int, again time.Duration, why string) {
	s := u.shared
	switch {
	case s == nil:
		return math.MaxInt, 0, ""
	case tenant == "":
		return u.keysMayTake()
	}
	return s.room(s.ofTenant(nil, tenant))
}

// room is how many calls all of these limits have room for.
func (s *shared) room(wants []limits.Want) (n int, again time.Duration, why string) {
	n = math.MaxInt
	for _, w := range wants {
		units, wait := w.Limiter.Room()
		if units > 0 && w.Limiter.Unit == unitTokens { // the last one may be larger than what there is
			units = 1 + (units-1)/max(1, s.tokens.Load())
		}
		n = int(min(int64(n), units))
		if units == 0 && wait >= again {
			again, why = wait, "the limit of "+nameOf(w.Limiter.Name)+" is reached"
		}
	}
	return n, again, why
}

// keysMayTake is how many calls the keys that can be used have room for.
func (u *Caller) keysMayTake() (n int, again time.Duration, why string) {
	k := u.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	first := true
	for _, key := range k.all {
		if key.rest.readyAt(now).After(now) {
			continue
		}
		one, wait, reached := u.shared.room(key.shared)
		if one == math.MaxInt {
			return math.MaxInt, 0, ""
		}
		n += one
		if first || wait < again {
			again, why, first = wait, reached, false
		}
	}
	switch {
	case first: // none can be used: Pause says for how long
		return math.MaxInt, 0, ""
	case n > 0:
		return n, 0, ""
	}
	return 0, again, why
}
