package service

import (
	"time"

	"gemini-client/service/bus"
)

// mayTake returns how many more requests of a tenant may be taken now, "" for those of all
// together, of which so many are in flight: while a budget or a limit has no room for them they wait in their queue, and
// not in slots.
func (s *Service) mayTake(tenant string, inFlight int) (n int, again time.Duration, why string) {
	if tenant != "" {
		if again, why = s.upstream.Held(tenant); why != "" {
			return 0, again, why
		}
	}
	return s.upstream.MayTake(tenant, inFlight)
}

// deadlineOf returns the deadline of a request that waits; the zero time if it has none, or
// cannot be read: that is said when it is taken.
func (h *handler) deadlineOf(tenant string, body []byte) time.Time {
	r, err := h.rulesOf(&bus.Delivery{Tenant: tenant, Isolated: h.tenants != nil && h.tenants.Of(tenant).Isolated}).Decode(body, time.Now())
	if err != nil {
		return time.Time{}
	}
	return r.Deadline
}
