package bus

import "gemini-client/service/tenant"

// reservation is a number of requests of a queue that count before they come.
type reservation struct {
	n  int
	of *tenant.Tenant
}

// reserve has up to n more requests of a queue count, as many as its tenant may have now:
// they count first, and then it is asked. unreserve takes them back, when those that came
// count themselves. The retries are of all tenants: they count when they come.
func (in *intake) reserve(q *queue, n int) reservation {
	r := reservation{n, q.declared.Load()}
	if q.retries || n == 0 {
		return r
	}
	coming := &in.sources.of(q.tenant).coming
	before := int(coming.Add(int64(n))) - n
	if in.handlers.MayTake != nil {
		allowed, _ := in.handlers.MayTake(q.tenant, before)
		r.n = min(n, max(0, allowed))
	}
	r.n = in.sources.reserve(r.of, r.n)
	coming.Add(int64(r.n - n))
	return r
}

func (in *intake) unreserve(q *queue, r reservation) {
	if q.retries {
		return
	}
	in.sources.unreserve(r.of, r.n)
	in.sources.of(q.tenant).coming.Add(-int64(r.n))
}
