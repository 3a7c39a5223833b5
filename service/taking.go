package service

import (
	"context"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// mayTake returns how many more requests of a tenant may be taken now, "" for those of all
// together, when so many are coming: while a budget or a limit has no room for them they wait
// in their queue, and not in slots.
func (s *Service) mayTake(tenant string, coming int) (n int, again time.Duration) {
	if tenant != "" {
		if again, why := s.upstream.Held(tenant); why != "" {
			return 0, again
		}
	}
	return s.upstream.MayTake(tenant, coming)
}

// ofQueue tells a call of its queue, where its limits may have to know.
func (h *handler) ofQueue(ctx context.Context, d *bus.Delivery) context.Context {
	if !h.upstream.Limited() {
		d.Arrived()
		return ctx
	}
	return upstream.WithQueue(ctx, &upstream.Queue{Arrived: d.Arrived, Waits: !d.Retried})
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
