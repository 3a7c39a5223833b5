package bus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// Delivery is one message of a queue: what was sent and where it lies. It has to
// be settled, once, with [Bus.Settle].
type Delivery struct {
	Body       []byte
	Header     events.Header
	Queue      string    // the subject it was sent to
	Stream     string    // the stream it was taken from
	Sequence   uint64    // its place in that stream
	Deliveries uint64    // how often it was delivered, this time included
	Stored     time.Time // when the stream stored it
	Taken      time.Time // when this process got it

	// Tenant is whose request it is, and Lane in which one it is answered: its subject
	// says so, or, of what came through the retries, the header.
	Tenant string
	Lane   events.Lane
	// Isolated says that its tenant has a callback, cancellations and deltas of its own.
	Isolated bool

	// Retried says that it came through the retries, where only the service and
	// operators may publish: it may be the only trace of its request.
	Retried bool
	// Follows is the sequence of the failed result that an operator's replay may
	// follow; 0 for what is no replay.
	Follows uint64
	// Tick names what a message of the service's own has looked after; "" for a
	// request.
	Tick string

	slot  *slot     // nil: nothing to acknowledge
	stays bool      // its message is one that nobody has taken, and stays in its queue
	claim *claim    // held since it was admitted
	asked Ask       // with which it was admitted
	found State     // how it was admitted
	due   time.Time // of the schedule that waits for its request, where it is known
}

// Scope is the tenant to whom alone its request's callback, cancellations and deltas
// belong: its own if that is isolated, else "".
func (d *Delivery) Scope() string {
	if d.Isolated {
		return d.Tenant
	}
	return ""
}

// Arrived says that the request does not count as coming any more for Handlers.MayTake: it
// is where its limits see it, or comes to none. It may be said more than once. The end of
// the delivery says it too.
func (d *Delivery) Arrived() {
	if d.slot != nil {
		d.slot.intake.sources.arrive(d.slot)
	}
}

// isolate notes whether the tenant is isolated. A copy of a request is answered where the
// request would have been, whatever became of its tenant meanwhile, and though this process
// does not know of it.
func (d *Delivery) isolate(tenants *tenant.Registry) {
	if d.Tenant == events.DefaultTenant {
		d.Isolated = false
		return
	}
	if d.Retried {
		if isolated, known := events.IsolatedOf(d.Header); known {
			d.Isolated = isolated
			return
		}
	}
	d.Isolated = tenants.Of(d.Tenant).Isolated
}

// ofTenant are the headers by which a copy of the message is known as the tenant's.
func (d *Delivery) ofTenant() events.Header {
	h := events.Header{
		events.HeaderTenant: {cmp.Or(d.Tenant, events.DefaultTenant)}, events.HeaderLane: {string(cmp.Or(d.Lane, events.LaneInteractive))},
	}
	if h[events.HeaderTenant][0] != events.DefaultTenant { // which is never isolated
		h[events.HeaderIsolated] = []string{strconv.FormatBool(d.Isolated)}
	}
	return h
}

// guardReplay reads the replay header of what came through the retries. It drops
// the headers that only operators and the service may set from everything else,
// lest a requester's come back from a wait as if they were theirs.
func (d *Delivery) guardReplay() {
	if d.Retried {
		d.Tenant, d.Lane = events.TenantOf(d.Header)
		d.Follows, _ = events.Replay(d.Header)
		d.Tick = events.Tick(d.Header)
		return
	}
	for name := range d.Header {
		if isOwn(name) {
			d.Header = maps.Clone(d.Header)
			maps.DeleteFunc(d.Header, func(name string, _ []string) bool { return isOwn(name) })
			return
		}
	}
}

// isOwn reports whether only operators and the service may set a header.
func isOwn(name string) bool {
	return slices.ContainsFunc([]string{events.HeaderReplay, events.HeaderBilled, events.HeaderTimeouts, events.HeaderBatch, events.HeaderTick, events.HeaderTenant, events.HeaderLane, events.HeaderIsolated}, func(own string) bool { return strings.EqualFold(name, own) })
}

// message names the queue message, so that two deliveries of one message can be
// told from two messages with the same request.
func (d *Delivery) message() string { return fmt.Sprintf("%s/%d", d.Stream, d.Sequence) }
