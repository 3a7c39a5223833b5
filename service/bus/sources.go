package bus

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// sources are the queues that an intake takes from: the service's own, and two for each
// declared tenant. They belong to the intake's goroutine, but for what others count.
type sources struct {
	tenants *tenant.Registry
	own     []*queue // that were bound at the start
	queues  func(tenant string) []QueueConsumer
	newOne  func(QueueConsumer) *queue

	stale atomic.Bool          // what is declared has changed
	all   []*queue             // own, and those of the declared tenants
	named map[queueName]*queue // the latter, with those of tenants that were removed

	tallies sync.Map     // *underWay by tenant
	coming  atomic.Int64 // requests in slots that have not arrived
}

// underWay counts the requests of a tenant that are under way.
type underWay struct {
	inFlight atomic.Int64 // in slots, or reserved for such as max_in_flight bounds
	coming   atomic.Int64 // in slots or being pulled for them, and not arrived
}

func (u *underWay) comingNow() int { return int(u.coming.Load()) }

// queueName is whose queue it is.
type queueName struct {
	tenant string
	lane   events.Lane
}

func newSources(tenants *tenant.Registry, own []*queue, newOne func(QueueConsumer) *queue, queues func(tenant string) []QueueConsumer) *sources {
	s := &sources{tenants: tenants, own: own, newOne: newOne, queues: queues, all: own, named: map[queueName]*queue{}}
	s.stale.Store(true)
	return s
}

// shared reports whether there is more than one queue of requests to share the slots
// between: a tenant is declared, or something waits in the slow lane.
func (s *sources) shared() bool {
	return s.tenants.Any() || slices.ContainsFunc(s.own, func(q *queue) bool { return q.lane == events.LaneBatch && q.left.Load() > 0 })
}

// current returns the queues as what is declared has them now.
func (s *sources) current() []*queue {
	if !s.stale.Swap(false) {
		return s.all
	}
	s.all = slices.Clone(s.own)
	for _, t := range s.tenants.Declared() {
		if t.Name == events.DefaultTenant {
			continue
		}
		for _, want := range s.queues(t.Name) {
			name := queueName{t.Name, want.Lane}
			if s.named[name] == nil {
				s.named[name] = s.newOne(want)
			}
			s.all = append(s.all, s.named[name])
		}
	}
	s.sweep()
	for _, q := range s.all {
		if !q.retries {
			q.declared.Store(new(s.tenants.Of(q.tenant)))
		}
	}
	return s.all
}

// isGone reports whether a queue is one of a tenant that is not declared any more.
func (s *sources) isGone(q *queue) bool {
	return q.tenant != events.DefaultTenant && !s.tenants.Has(q.tenant)
}

// sweep forgets the queues of tenants that are not declared any more.
func (s *sources) sweep() {
	for name, q := range s.named {
		if !s.tenants.Has(name.tenant) && !q.pulling.Load() && !q.resting.Load() {
			q.inbox.close()
			delete(s.named, name)
		}
	}
}

// of returns the counts of a tenant.
func (s *sources) of(tenant string) *underWay {
	of, ok := s.tallies.Load(tenant)
	if !ok {
		of, _ = s.tallies.LoadOrStore(tenant, new(underWay))
	}
	return of.(*underWay)
}

// begin counts a message in a slot, end one that has left it.
func (s *sources) begin(one *slot, tenant string) {
	one.of = s.of(tenant)
	one.of.inFlight.Add(1)
	one.of.coming.Add(1)
	s.coming.Add(1)
}

func (s *sources) end(one *slot) {
	s.arrive(one)
	one.of.inFlight.Add(-1)
}

// arrive counts a message as coming no more.
func (s *sources) arrive(one *slot) {
	if one.arrived.CompareAndSwap(false, true) {
		one.of.coming.Add(-1)
		s.coming.Add(-1)
	}
}

// reserve counts up to n more requests of a tenant as in flight, as many as max_in_flight
// allows, and returns how many. The caller takes them back with unreserve, when those that
// came are counted themselves.
func (s *sources) reserve(t *tenant.Tenant, n int) int {
	if t.MaxInFlight == 0 {
		return n
	}
	of := &s.of(t.Name).inFlight
	over := min(n, max(0, int(of.Add(int64(n)))-t.MaxInFlight))
	of.Add(-int64(over))
	return n - over
}

// unreserve takes back what was reserved.
func (s *sources) unreserve(t *tenant.Tenant, n int) {
	if t.MaxInFlight != 0 {
		s.of(t.Name).inFlight.Add(-int64(n))
	}
}

// roomFor is how many more requests of a tenant max_in_flight allows.
func (s *sources) roomFor(t *tenant.Tenant) int {
	if t.MaxInFlight == 0 {
		return math.MaxInt
	}
	return max(0, t.MaxInFlight-int(s.of(t.Name).inFlight.Load()))
}

// Bounds of the pulls that wait for a queue's next message, where the slots are shared.
const (
	idlePullMost = 10 * time.Second
	idlePace     = 20 * time.Millisecond // between two of them, whatever the number of queues
	idleBatch    = 16
	idleBytes    = 16 << 10
)

// idle is how long such a pull waits, and for how many messages. They take no slot: what
// finds none goes back. So there are few, and the more queues there are the longer each
// waits, so that they cost the server the same.
func (s *sources) idle(slots int) (wait time.Duration, batch int) {
	n := len(s.all)
	return min(max(time.Duration(n)*idlePace, idlePull), idlePullMost), min(max(1, slots/(4*n)), idleBatch)
}

// close ends the subscriptions of the pulls.
func (s *sources) close() {
	for _, q := range s.own {
		q.inbox.close()
	}
	for _, q := range s.named {
		q.inbox.close()
	}
}
