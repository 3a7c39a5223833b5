package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
)

// declare makes the queues of tenants and tells a bus of them.
func (b *bench) declare(bus *Bus, all ...tenant.Tenant) {
	b.t.Helper()
	topology := NewTopology(b.config, b.NC.MaxPayload())
	stream, err := b.JS.Stream(b.Context(), b.Names.RequestsStream())
	if err != nil {
		b.t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	for _, t := range append(slices.Clone(all), tenant.Undeclared(events.DefaultTenant)) {
		for _, q := range topology.Queues(t.Name) {
			if _, err := b.JS.CreateOrUpdateConsumer(b.Context(), q.Stream, q.Config); err != nil {
				b.t.Fatal(err)
			}
			if !slices.Contains(c.Subjects, q.Config.FilterSubject) {
				c.Subjects = append(c.Subjects, q.Config.FilterSubject)
			}
		}
	}
	if _, err := b.JS.UpdateStream(b.Context(), c); err != nil {
		b.t.Fatal(err)
	}
	b.record(bus, all...)
}

// record writes what is declared, and waits until a bus knows it.
func (b *bench) record(bus *Bus, all ...tenant.Tenant) {
	b.t.Helper()
	bucket, err := b.JS.KeyValue(b.Context(), b.Names.TenantsBucket())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, t := range all {
		text, err := json.Marshal(t)
		if err == nil {
			_, err = bucket.Put(b.Context(), t.Name, text)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	for _, t := range all {
		b.awaitDeclared(bus, func() (string, bool) {
			got := bus.tenants.Of(t.Name)
			return fmt.Sprintf("%+v", got), reflect.DeepEqual(got, t)
		})
	}
}

// awaitDeclared waits until a bus knows what is declared. One that does not run yet is told.
func (b *bench) awaitDeclared(bus *Bus, holds func() (string, bool)) {
	b.t.Helper()
	if !bus.taking.Load() {
		bus.declared.read(b.Context())
	}
	b.Until("the bus knows what is declared", holds)
}

// remove removes what is declared of a tenant, and tells a bus.
func (b *bench) remove(bus *Bus, name string) {
	b.t.Helper()
	bucket, err := b.JS.KeyValue(b.Context(), b.Names.TenantsBucket())
	if err == nil {
		err = bucket.Delete(b.Context(), name)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.awaitDeclared(bus, func() (string, bool) { return "", !bus.tenants.Any() })
}

// enqueue publishes n requests of a tenant in a lane.
func (b *bench) enqueue(name string, lane events.Lane, n int) {
	b.t.Helper()
	for i := range n {
		m := &nats.Msg{Subject: b.Names.Requests(name, lane), Data: fmt.Appendf(nil, "%d", i)}
		if _, err := b.JS.PublishMsg(b.Context(), m); err != nil {
			b.t.Fatalf("publish to %s: %v", m.Subject, err)
		}
	}
}

func named(names ...string) (all []tenant.Tenant) {
	for _, name := range names {
		all = append(all, tenant.Undeclared(name))
	}
	return all
}

// calls are deliveries that end when the test says so.
type calls struct {
	bus *Bus

	mu      sync.Mutex
	began   []string // tenants and lanes, in the order in which their messages came
	waiting []chan struct{}
	over    chan struct{}
	done    atomic.Int64
}

func (c *calls) deliver(ctx context.Context, d *Delivery) {
	end := make(chan struct{})
	c.mu.Lock()
	c.began = append(c.began, d.Tenant+"/"+string(d.Lane))
	c.waiting = append(c.waiting, end)
	c.mu.Unlock()
	select {
	case <-end:
	case <-c.over:
	}
	_, _ = c.bus.Settle(ctx, d, End{})
	c.done.Add(1)
}

// work runs a bus whose calls end with the test, if not before.
func (b *bench) work(c *calls, h Handlers) {
	b.t.Helper()
	h.Deliver = c.deliver
	b.run(c.bus, h)
	b.t.Cleanup(func() { close(c.over) })
}

// finish ends the n calls that are under way for the longest.
func (c *calls) finish(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.waiting[:n] {
		close(end)
	}
	c.waiting = c.waiting[n:]
}

// counts is how many calls of each have begun.
func (c *calls) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{}
	for _, of := range c.began {
		n[of]++
	}
	return n
}

// began waits until so many calls have begun.
func (b *bench) began(c *calls, n int) {
	b.t.Helper()
	b.Until(fmt.Sprintf("%d calls have begun", n), func() (string, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Sprint(len(c.began)), len(c.began) >= n
	})
}

func sharing(t *testing.T, slots int, names ...string) (*bench, *calls) {
	t.Helper()
	b := setup(t, func(c *config.Config) { c.Concurrency = slots })
	b.provision()
	c := &calls{bus: b.open(), over: make(chan struct{})}
	b.declare(c.bus, named(names...)...)
	return b, c
}

// TestFloodTakesNoSlotOfOthers: with 20 tenants of which one floods, the next free slots
// are those of the others, as soon as they ask, and all of them have their share.
func TestFloodTakesNoSlotOfOthers(t *testing.T) {
	t.Parallel()
	const slots = 20
	names := make([]string, 20)
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	b, c := sharing(t, slots, names...)
	b.enqueue("t0", events.LaneInteractive, 300)
	b.work(c, Handlers{})
	b.began(c, slots)
	for _, name := range names[1:] {
		b.enqueue(name, events.LaneInteractive, 2)
	}
	b.tried(names[1:])
	c.finish(slots - 1) // all but one of the flood's
	b.began(c, slots+slots-1)
	for _, name := range names[1:] {
		if n := c.counts()[name+"/interactive"]; n != 1 {
			t.Errorf("%s has %d of the %d slots that were freed, want 1", name, n, slots-1)
		}
	}
	c.finish(slots)
	b.began(c, 3*slots-1)
	for _, name := range names[1:] {
		if n := c.counts()[name+"/interactive"]; n != 2 {
			t.Errorf("%s began %d calls, want its 2", name, n)
		}
	}
	b.drain(c)
}

// tried waits until a message of each tenant was delivered, and has gone back for want of
// a slot: they are known to wait.
func (b *bench) tried(names []string) {
	b.t.Helper()
	for _, name := range names {
		b.Until("a message of "+name+" was tried", func() (string, bool) {
			consumer, err := b.JS.Consumer(b.Context(), b.Names.RequestsStream(), consumerName(name, events.LaneInteractive))
			if err != nil {
				return err.Error(), false
			}
			n := consumer.CachedInfo().Delivered.Consumer
			return fmt.Sprint(n), n > 0
		})
	}
}

// drain ends all calls until nothing is queued.
func (b *bench) drain(c *calls) {
	b.t.Helper()
	b.Until("the queue is empty", func() (string, bool) {
		c.mu.Lock()
		n := len(c.waiting)
		c.mu.Unlock()
		c.finish(n)
		left := b.State(b.Names.RequestsStream()).Msgs
		return fmt.Sprint(left), left == 0
	})
}

// TestTenantsAreTakenUpWithoutARestart: one that is declared while the service runs is
// served, and so is what it has in the queue after it was removed and declared again.
func TestTenantsAreTakenUpWithoutARestart(t *testing.T) {
	t.Parallel()
	b, c := sharing(t, 10)
	b.work(c, Handlers{})
	b.enqueue(events.DefaultTenant, events.LaneInteractive, 1)
	b.began(c, 1)
	b.declare(c.bus, named("acme")...)
	b.enqueue("acme", events.LaneInteractive, 1)
	b.enqueue("acme", events.LaneBatch, 1)
	b.enqueue(events.DefaultTenant, events.LaneInteractive, 1)
	b.began(c, 4)
	b.remove(c.bus, "acme")
	b.enqueue(events.DefaultTenant, events.LaneInteractive, 1)
	b.began(c, 5)
	b.record(c.bus, named("acme")...)
	b.enqueue("acme", events.LaneInteractive, 1)
	b.began(c, 6)
	want := map[string]int{"default/interactive": 3, "acme/interactive": 2, "acme/batch": 1}
	if got := c.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("calls began for %v, want %v", got, want)
	}
	b.drain(c)
}

// TestSlowLaneLeavesRoom: a backlog in it takes all slots but a tenth, which the next
// interactive request finds free; while both wait they share by their weights.
func TestSlowLaneLeavesRoom(t *testing.T) {
	t.Parallel()
	b, c := sharing(t, 10)
	b.enqueue(events.DefaultTenant, events.LaneBatch, 40)
	b.work(c, Handlers{})
	b.began(c, 9)
	b.enqueue(events.DefaultTenant, events.LaneInteractive, 1)
	b.began(c, 10)
	want := map[string]int{"default/interactive": 1, "default/batch": 9}
	if got := c.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("calls began for %v, want %v", got, want)
	}
	b.enqueue(events.DefaultTenant, events.LaneInteractive, 40)
	for i := range 20 {
		c.finish(1)
		b.began(c, 11+i)
	}
	if got := c.counts(); got["default/interactive"] < 16 || got["default/batch"] < 10 {
		t.Errorf("of 30 calls %v, want interactive first, and batch to have its share", got)
	}
	b.drain(c)
}

// TestMostInFlight: a tenant has no more slots than it may, and others have the rest.
func TestMostInFlight(t *testing.T) {
	t.Parallel()
	b, c := sharing(t, 10, "bounded", "free")
	bounded := tenant.Undeclared("bounded")
	bounded.MaxInFlight = 2
	b.record(c.bus, bounded)
	b.enqueue("bounded", events.LaneInteractive, 10)
	b.enqueue("bounded", events.LaneBatch, 10)
	b.work(c, Handlers{})
	b.began(c, 2)
	b.enqueue("free", events.LaneInteractive, 20)
	b.began(c, 10)
	if got := c.counts(); got["bounded/interactive"]+got["bounded/batch"] != 2 {
		t.Errorf("calls began for %v, want 2 of the bounded tenant", got)
	}
	b.drain(c)
}

// TestHeldTenantWaits: nothing is taken of one that may take nothing, and all of it when it
// may again; others go on.
func TestHeldTenantWaits(t *testing.T) {
	t.Parallel()
	b, c := sharing(t, 10, "held", "free")
	var may atomic.Bool
	b.enqueue("held", events.LaneInteractive, 3)
	b.enqueue("free", events.LaneInteractive, 3)
	b.work(c, Handlers{MayTake: func(name string, _ int) (int, time.Duration) {
		if name == "held" && !may.Load() {
			return 0, 10 * time.Millisecond
		}
		return 1 << 20, 0
	}})
	b.began(c, 3)
	if got := c.counts(); got["held/interactive"] != 0 {
		t.Errorf("calls began for %v while the tenant was held", got)
	}
	may.Store(true)
	b.began(c, 6)
	b.drain(c)
}
