package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// isolated is a declared tenant with subjects of its own.
func isolated(name string) tenant.Tenant {
	t := tenant.Undeclared(name)
	t.Isolated = true
	return t
}

// as publishes to the retries, where only the service and operators may, as a tenant's.
func (b *bench) as(tenant string, lane events.Lane, body []byte) {
	b.t.Helper()
	m := &nats.Msg{Subject: b.Names.Retries(), Data: body, Header: nats.Header{events.HeaderTenant: {tenant}, events.HeaderLane: {string(lane)}}}
	if _, err := b.JS.PublishMsg(b.Context(), m); err != nil {
		b.t.Fatal(err)
	}
}

// A request's tenant and lane go with it, whatever it waits for and ends as: a schedule,
// a dead letter, a result.
func TestTenantGoesAlong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	bus := b.open()
	came := make(chan *Delivery, 2)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		r, err := b.config.Rules(0).Decode(d.Body, d.Taken)
		if err != nil {
			t.Error(err)
		}
		r.Tenant = d.Tenant
		bus.Admit(ctx, Ask{Delivery: d, Callback: r.CallbackQueue, ID: r.ID})
		end := End{Schedule: &Schedule{At: time.Now()}}
		if len(came) > 0 {
			result := r.Failed(events.Failure{Code: events.Internal, Message: "x"}, time.Now())
			end = End{Result: &result, DeadLetter: &DeadLetter{Code: events.Internal}}
		}
		if _, err := bus.Settle(ctx, d, end); err != nil {
			t.Error(err)
		}
		came <- d
	}})
	id := servicetest.NewID()
	b.as("acme", events.LaneBatch, servicetest.Body(id, "x", nil))
	result := b.Result(id)
	dead := b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.Internal, id), 1)[0]
	for range 2 {
		if d := <-came; d.Tenant != "acme" || d.Lane != events.LaneBatch || !d.Retried {
			t.Errorf("delivered to %s, %s", d.Tenant, d.Lane)
		}
	}
	if result.Header.Get(events.HeaderTenant) != "acme" {
		t.Errorf("the result's headers are %v", result.Header)
	}
	if dead.Header.Get(events.HeaderTenant) != "acme" || dead.Header.Get(events.HeaderLane) != "batch" {
		t.Errorf("the dead letter's headers are %v", dead.Header)
	}
}

// Nobody says for whom a request is but its subject: what a requester puts into the
// headers is dropped, in any spelling, and does not come back from a wait either.
func TestRequesterCannotForgeTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	bus := b.open()
	came := make(chan *Delivery, 2)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		r, err := b.config.Rules(0).Decode(d.Body, d.Taken)
		if err != nil {
			t.Error(err)
		}
		bus.Admit(ctx, Ask{Delivery: d, Callback: r.CallbackQueue, ID: r.ID})
		end := End{Schedule: &Schedule{At: time.Now()}}
		if d.Retried {
			result := r.Completed("x", time.Now())
			end = End{Result: &result}
		}
		if _, err := bus.Settle(ctx, d, end); err != nil {
			t.Error(err)
		}
		came <- d
	}})
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "x", nil), nats.Header{"Gemini-Tenant": {"acme"}, "gemini-tenant": {"acme"}, "GEMINI-LANE": {"batch"}})
	for range 2 {
		d := <-came
		if d.Tenant != events.DefaultTenant || d.Lane != events.LaneInteractive {
			t.Errorf("delivered to %s, %s", d.Tenant, d.Lane)
		}
		if d.Retried && (len(d.Header["gemini-tenant"]) > 0 || d.Header["Gemini-Tenant"][0] != "default") {
			t.Errorf("its schedule had the headers %v", d.Header)
		}
	}
	if h := b.Result(id).Header; h.Get(events.HeaderTenant) != "default" {
		t.Errorf("the result's headers are %v", h)
	}
}

// The schedule of an answered request is replaced by one of the same tenant: else its
// message, read by another's rules, would be answered on another callback.
func TestScheduleIsRemovedForItsTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	bus := b.open()
	b.record(bus, isolated("acme"))
	id, callback := servicetest.NewID(), "gemini.responses.acme"
	first := &Delivery{Tenant: "acme", Lane: events.LaneBatch, Isolated: true, Stream: b.Names.RetriesStream(), Sequence: 1, Retried: true, Taken: time.Now(), Body: servicetest.Body(id, "x", nil)}
	first.asked = Ask{Delivery: first, Callback: callback, ID: id}
	if err := bus.schedules.put(t.Context(), first, Schedule{At: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	waiting, err := bus.Waiting(t.Context(), callback, id)
	if err != nil || waiting == nil || waiting.Scope() != "acme" || waiting.Lane != events.LaneBatch {
		t.Fatalf("it waits as %+v, %v", waiting, err)
	}
	waiting.asked = Ask{Delivery: waiting, Callback: callback, ID: id}
	bus.schedules.remove(t.Context(), waiting)
	came := make(chan *Delivery, 1)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		_, _ = bus.Settle(ctx, d, End{})
		came <- d
	}})
	if d := <-came; d.Scope() != "acme" {
		t.Errorf("in its place came a message of %s, isolated %t", d.Tenant, d.Isolated)
	}
}

// What fails with its first delivery has a dead letter that names its tenant, though no
// header did before.
func TestDeadLetterOfAQueueNamesItsTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	bus := b.open()
	d := &Delivery{Tenant: "acme", Lane: events.LaneBatch, Stream: b.Names.RequestsStream(), Sequence: 1, Body: []byte("no request")}
	if err := bus.deadletters.put(t.Context(), d, DeadLetter{Code: events.InvalidRequest}); err != nil {
		t.Fatal(err)
	}
	dead := b.Collect(b.Names.DeadlettersStream(), b.Names.DeadlettersAll(), 1)[0]
	if dead.Header.Get(events.HeaderTenant) != "acme" || dead.Header.Get(events.HeaderLane) != "batch" {
		t.Errorf("its headers are %v", dead.Header)
	}
}

// Whether a request is an isolated tenant's is what its copy says, whatever became of the
// tenant; a requester cannot say it, and where nobody does it is what is declared.
func TestIsolationIsThatOfTheRequest(t *testing.T) {
	t.Parallel()
	tenants := tenant.NewRegistry()
	tenants.Replace([]tenant.Tenant{isolated("now")})
	for name, c := range map[string]struct {
		tenant  string
		says    string
		retried bool
		want    bool
	}{
		"removed meanwhile":          {"gone", "true", true, true},
		"no longer isolated":         {"other", "true", true, true},
		"isolated since":             {"now", "false", true, false},
		"says nothing, is isolated":  {"now", "", true, true},
		"says nothing, is not":       {"other", "", true, false},
		"says nonsense":              {"now", "x", true, true},
		"the default tenant":         {"default", "true", true, false},
		"a requester says it":        {"other", "true", false, false},
		"a requester says otherwise": {"now", "false", false, true},
	} {
		d := &Delivery{Tenant: c.tenant, Retried: c.retried, Header: events.Header{"Gemini-Tenant": {c.tenant}, "gemini-isolated": {c.says}}}
		d.guardReplay()
		if d.isolate(tenants); d.Isolated != c.want || !c.retried && len(d.Header) > 0 {
			t.Errorf("%s: isolated %t, headers %v", name, d.Isolated, d.Header)
		}
	}
}

// A request of an isolated tenant stays one from its queue to its dead letter, though the
// tenant is removed while it waits.
func TestIsolationGoesAlong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	bus := b.open()
	id, callback := servicetest.NewID(), "gemini.responses.acme"
	first := &Delivery{Tenant: "acme", Lane: events.LaneBatch, Isolated: true, Stream: b.Names.RequestsStream(), Sequence: 1, Taken: time.Now(), Body: servicetest.Body(id, "x", nil)}
	first.asked = Ask{Delivery: first, Callback: callback, ID: id}
	if err := bus.schedules.put(t.Context(), first, Schedule{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	came := make(chan *Delivery, 1)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		bus.Admit(ctx, Ask{Delivery: d, Callback: callback, ID: id})
		if _, err := bus.Settle(ctx, d, End{DeadLetter: &DeadLetter{Code: events.Internal}}); err != nil {
			t.Error(err)
		}
		came <- d
	}})
	if d := <-came; d.Scope() != "acme" {
		t.Errorf("it came as one of %s, isolated %t", d.Tenant, d.Isolated)
	}
	dead := b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.Internal, id), 1)[0]
	if dead.Header.Get(events.HeaderIsolated) != "true" {
		t.Errorf("the dead letter's headers are %v", dead.Header)
	}
	for _, name := range []string{"gemini-isolated", events.HeaderIsolated} {
		if !isOwn(name) || !isVital(name, 10) {
			t.Errorf("%s: may be set by others or left behind", name)
		}
	}
}
