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
