package upstream

import (
	"math"
	"sync"
	"time"

	"gemini-client/service/limits"
)

// MayTake returns how many more requests of a tenant may be taken now, of which so many are
// in flight, so that they need not wait for long for the limits that all workers share; if
// none, after which time to ask again, and why. The tenant "" stands for all of them, and
// the limits of the keys. Where there is no limit, it is math.MaxInt.
//
// What is in flight and has not come as far as the line of a limit has its place there all
// the same: else each look would find the room that the one before has given away.
func (u *Caller) MayTake(tenant string, inFlight int) (n int, again time.Duration, why string) {
	s := u.shared
	switch {
	case s == nil:
		return math.MaxInt, 0, ""
	case tenant == "":
		n, again, why = u.keysMayTake()
	default:
		n, again, why = s.room(s.ofTenant(nil, tenant))
	}
	if n == math.MaxInt || n == 0 {
		return n, again, why
	}
	if n -= max(0, inFlight-s.arrived.of(tenant)); n <= 0 {
		return 0, comingPause, "there is no room in its limits beside the requests that come"
	}
	return n, 0, ""
}

// comingPause is how long it takes until requests that were taken have come to their limits.
const comingPause = 20 * time.Millisecond

// arrivals counts the calls that have come as far as a line, or wait for their model before
// it, until they end: by tenant, and of all tenants under "".
type arrivals struct {
	mu sync.Mutex
	n  map[string]int
}

// of is how many calls of a tenant have.
func (a *arrivals) of(tenant string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n[tenant]
}

func (a *arrivals) add(tenant string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range []string{tenant, ""} {
		if a.n[name] += n; a.n[name] == 0 {
			delete(a.n, name)
		}
	}
}

// arrive counts a call that comes to a line for the first time, or waits for something else
// first.
func (c *call) arrive() {
	if !c.arrived && c.caller.shared != nil {
		c.arrived = true
		c.caller.shared.arrived.add(c.tenant(), 1)
	}
}

// depart counts a call that ends.
func (c *call) depart() {
	if c.arrived {
		c.caller.shared.arrived.add(c.tenant(), -1)
	}
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
