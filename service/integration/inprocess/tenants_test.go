package inprocess_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// withTenants is a bench on which tenants are declared, before any service runs.
func withTenants(t *testing.T, declared []tenant.Tenant, changes ...func(*config.Config)) *bench {
	t.Helper()
	b := setup(t, changes...)
	b.provision()
	d := b.declarations()
	for _, one := range declared {
		if _, err := d.Set(b.Context(), one.Name, func(now *tenant.Tenant) error { *now = one; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bench) declarations() *bus.Declarations {
	b.t.Helper()
	conn, err := bus.Connect(b.Context(), b.config.NATS, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(conn.Close)
	return bus.NewDeclarations(b.config, conn)
}

// startKnowing starts a service that knows what is declared.
func (b *bench) startKnowing() *replica {
	b.t.Helper()
	r := b.start()
	b.says("declared tenants have changed")
	return r
}

// askFor asks for a tenant in a lane.
func (b *bench) askFor(tenant string, lane events.Lane, prompt string, more map[string]any) string {
	b.t.Helper()
	id := servicetest.NewID()
	if _, err := b.JS.Publish(b.Context(), b.Names.Requests(tenant, lane), servicetest.Body(id, prompt, more)); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// resultOn waits for the one result on a callback.
func (b *bench) resultOn(callback, id string) servicetest.Stored {
	b.t.Helper()
	return b.Collect(b.Names.ResponsesStream(), events.AnyResult(callback, id), 1)[0]
}

// told waits until the log has a request's line of a verdict, and checks whose it says it is.
func (b *bench) told(id, verdict, tenant string) {
	b.t.Helper()
	var line string
	b.Until("the log tells of "+id, func() (string, bool) {
		for line = range strings.Lines(b.log.String()) {
			if strings.Contains(line, `"msg":"request `+verdict+`"`) && strings.Contains(line, id) {
				return "", true
			}
		}
		return "", false
	})
	if !strings.Contains(line, `"tenant":"`+tenant+`"`) {
		b.t.Errorf("not %s's: %s", tenant, line)
	}
}

// What a tenant's request leaves behind says whose it was: results, dead letters, log
// lines, spans and what it is charged by.
func TestTenantIsToldEverywhere(t *testing.T) {
	t.Parallel()
	b := withTenants(t, []tenant.Tenant{tenant.Undeclared("acme")}, quick)
	r := b.startKnowing()
	id := b.askFor("acme", events.LaneInteractive, "[sim:503 times=3] and then well", nil) // one delivery's attempts
	if h := b.Result(id).Header; h.Get(events.HeaderTenant) != "acme" {
		t.Errorf("the result's headers are %v", h)
	}
	failed := b.askFor("acme", events.LaneBatch, "[sim:503]", map[string]any{"retry_count": 2})
	b.Result(failed)
	dead := b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.UpstreamUnavailable, failed), 1)[0]
	if dead.Header.Get(events.HeaderTenant) != "acme" || dead.Header.Get(events.HeaderLane) != "batch" {
		t.Errorf("the dead letter's headers are %v", dead.Header)
	}
	other := b.Ask("hello", nil)
	if h := b.Result(other).Header; h.Get(events.HeaderTenant) != events.DefaultTenant {
		t.Errorf("the headers of the default tenant's result are %v", h)
	}
	b.Idle()
	b.told(id, "rescheduled", "acme")
	b.told(id, "completed", "acme")
	b.told(failed, "failed", "acme")
	b.told(other, "completed", "default")
	text, _ := r.get("/metrics")
	for _, want := range []string{
		`gemini_requests_total{gen_ai_request_model="google/gemini-2.5-flash",tenant="acme",verdict="completed"} 1`,
		`gemini_requests_total{gen_ai_request_model="google/gemini-2.5-flash",tenant="default",verdict="completed"} 1`,
		`gemini_calls_total{gen_ai_request_model="google/gemini-2.5-flash",outcome="success",tenant="acme"} 1`,
		`gemini_calls_total{gen_ai_request_model="google/gemini-2.5-flash",outcome="success",tenant="default"} 1`,
		`gemini_tokens_total{tenant="acme",type="input"}`,
		`gemini_cost_total{gen_ai_request_model="google/gemini-2.5-flash",tenant="acme"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, `"msg":"request `) && !strings.Contains(line, `"tenant":"acme"`) && !strings.Contains(line, `"tenant":"default"`) {
			t.Errorf("a line without a tenant: %s", line)
		}
	}
	b.spansOfTenants(map[string]int{"process acme": 3, "chat acme": 3, "process default": 1, "chat default": 1})
}

// spansOfTenants checks how many spans of a kind tell of a tenant.
func (b *bench) spansOfTenants(want map[string]int) {
	b.t.Helper()
	have := map[string]int{}
	for _, s := range b.spans.GetSpans() {
		name, _, _ := strings.Cut(s.Name, " ")
		if tenant, ok := attributes(s)["gemini.tenant"]; ok || name == "process" || name == "chat" {
			have[name+" "+tenant]++
		}
	}
	for kind, n := range want {
		if have[kind] != n {
			b.t.Errorf("spans of %s: %d, want %d; there are %v", kind, have[kind], n, have)
		}
	}
}

// A request in the slow lane is its tenant's, and stays its tenant's and slow while it
// waits to be tried again.
func TestSlowLaneIsTheTenants(t *testing.T) {
	t.Parallel()
	b := withTenants(t, []tenant.Tenant{tenant.Undeclared("acme")}, quick)
	schedules := make(chan *nats.Msg, 100)
	if _, err := b.NC.ChanSubscribe(b.Names.LaterAll(), schedules); err != nil {
		t.Fatal(err)
	}
	b.startKnowing()
	ids := map[string]int{ // how often each is tried again
		b.askFor("acme", events.LaneBatch, "well", nil):                        0,
		b.askFor("acme", events.LaneBatch, "[sim:503 times=3] then well", nil): 1,
		b.askFor("acme", events.LaneBatch, "never [sim:503]", nil):             2,
	}
	for id, retries := range ids {
		r := b.Result(id)
		if r.Header.Get(events.HeaderTenant) != "acme" || r.Result.RetryCount != retries {
			t.Errorf("tried again %d times, want %d; the result's headers are %v", r.Result.RetryCount, retries, r.Header)
		}
		if retries == 2 {
			b.told(id, "failed", "acme")
			dead := b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.UpstreamUnavailable, id), 1)[0]
			if dead.Header.Get(events.HeaderTenant) != "acme" || dead.Header.Get(events.HeaderLane) != "batch" {
				t.Errorf("after two waits the dead letter's headers are %v", dead.Header)
			}
			continue
		}
		b.told(id, "completed", "acme")
	}
	b.Idle()
	for range 3 { // in all
		select {
		case m := <-schedules:
			if m.Header.Get(events.HeaderTenant) != "acme" || m.Header.Get(events.HeaderLane) != "batch" {
				t.Errorf("a schedule's headers are %v", m.Header)
			}
		case <-b.Context().Done():
			t.Fatal("there are too few schedules")
		}
	}
}

// A tenant's requests that have to wait for its limit wait in their queue, and not in slots:
// others are answered meanwhile, and later as well. The few that were taken beyond what the
// limit has room for, before it knew of those taken last, are sent away.
func TestHeldTenantOfALimit(t *testing.T) {
	t.Parallel()
	const limited, others, answered = 30, 20, 4
	acme := tenant.Undeclared("acme")
	acme.RequestsPerMinute = 60
	b := withTenants(t, []tenant.Tenant{acme}, func(c *config.Config) { c.Concurrency = 4 })
	for range limited {
		b.askFor("acme", events.LaneInteractive, "limited", nil)
	}
	answerOthers := func() {
		t.Helper()
		var ids []string
		for range others {
			ids = append(ids, b.Ask("free", nil))
		}
		for _, id := range ids {
			if got := b.Result(id); got.Result.Status != events.StatusSuccess || got.Result.RetryCount != 0 {
				t.Errorf("result: %s", got.Body)
			}
		}
	}
	b.startKnowing()
	answerOthers()
	b.Until("some of the limited are answered", func() (string, bool) {
		n := len(b.Results()) - others
		return fmt.Sprint(n), n >= answered
	})
	answerOthers()
	d := b.declarations()
	depths, err := d.Depths(b.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, _ := d.Lanes("acme", depths)
	sentAway := b.stream(b.Names.RetriesStream()).LastSeq
	t.Logf("%d of the limited wait, %d are in flight, %d went to the retries", one.Waiting, one.InFlight, sentAway)
	if one.Waiting == 0 || one.InFlight > 3 || sentAway > 0 {
		t.Errorf("of the limited %d wait in their queue, %d are in flight, and %d were sent away", one.Waiting, one.InFlight, sentAway)
	}
	if calls, admitted := int64(b.openrouter.Count()), b.admitted("tenant", "requests", 1); calls > 2*others+admitted {
		t.Errorf("%d calls, of which the limit has admitted %d", calls-2*others, admitted)
	}
}
