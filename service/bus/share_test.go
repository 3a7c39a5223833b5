package bus

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

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
