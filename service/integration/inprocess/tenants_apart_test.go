package inprocess_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// acmesOwn is the callback of acme, where it is isolated.
const acmesOwn = "gemini.responses.acme"

func isolated(name string) tenant.Tenant {
	t := tenant.Undeclared(name)
	t.Isolated = true
	return t
}

// hasCode reports whether a result is a failure with a code.
func hasCode(r events.Result, code events.Code) bool {
	return r.ErrorCode != nil && *r.ErrorCode == code
}

// An isolated tenant is answered on its own callback, whatever it names, and hears its own
// deltas; nobody else can have anything sent there.
func TestIsolatedTenantIsAnsweredApart(t *testing.T) {
	t.Parallel()
	b := withTenants(t, []tenant.Tenant{isolated("acme"), tenant.Undeclared("open")}, func(c *config.Config) {
		c.CallbackAllow = []string{"gemini.responses.plain", "gemini.responses.open", acmesOwn} // as it may be from before
	})
	deltas, err := b.NC.SubscribeSync(b.Names.Of("acme").Deltas("*"))
	if err != nil {
		t.Fatal(err)
	}
	b.startKnowing()
	for _, more := range []map[string]any{{"stream": true}, {"callback_queue": "gemini.responses"}, {"callback_queue": acmesOwn}} {
		id := b.askFor("acme", events.LaneInteractive, "hello", more)
		if r := b.resultOn(acmesOwn, id); r.Subject != events.Completed(acmesOwn, id) || r.Header.Get(events.HeaderTenant) != "acme" {
			t.Errorf("%v: answered on %s: %s", more, r.Subject, r.Body)
		}
	}
	if m, err := deltas.NextMsg(servicetest.Patience); err != nil || !strings.HasPrefix(m.Subject, "gemini.deltas.acme.") {
		t.Errorf("its deltas: %v, %v", m, err)
	}
	elsewhere := b.askFor("acme", events.LaneBatch, "hello", map[string]any{"callback_queue": "gemini.responses.open"})
	if r := b.resultOn(acmesOwn, elsewhere); !hasCode(r.Result, events.CallbackNotAllowed) {
		t.Errorf("acme names another's callback: %s", r.Body)
	}
	strangers := map[string]string{}
	for _, who := range []string{"open", events.DefaultTenant} {
		for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
			id := b.askFor(who, lane, "hello", map[string]any{"callback_queue": acmesOwn})
			strangers[events.Failed(b.Names.ResponseQueue, id)] = who
		}
	}
	b.Idle()
	all := b.Results()
	for _, r := range all[min(4, len(all)):] {
		if strangers[r.Subject] == "" || !hasCode(r.Result, events.CallbackNotAllowed) {
			t.Errorf("who names acme's callback is answered on %s: %s", r.Subject, r.Body)
		}
	}
	if len(all) != 8 {
		t.Errorf("results: %d, want 8", len(all))
	}
}

// waitsFor waits until OpenRouter has so many calls in flight.
func (b *bench) waitsFor(calls int) {
	b.t.Helper()
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.InFlight == calls }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) cancelAs(tenant, id string) {
	b.t.Helper()
	if _, err := b.JS.Publish(b.Context(), b.Names.Of(tenant).Cancel(id), nil); err != nil {
		b.t.Fatal(err)
	}
}

// A call for an isolated tenant's request, or the wait for the next one, ends with its
// own cancellation alone, and that ends nobody else's.
func TestIsolatedTenantIsCancelledApart(t *testing.T) {
	t.Parallel()
	b := withTenants(t, []tenant.Tenant{isolated("acme")}, func(c *config.Config) { c.RetryDelays, c.MaxRetries = []int{3600}, 2 })
	b.startKnowing()
	waits := map[string]string{ // of acme, and of the default tenant
		"acme": b.askFor("acme", events.LaneInteractive, "[sim:503]", nil), "": b.Ask("[sim:503]", nil),
	}
	b.Until("two wait", func() (string, bool) {
		retries, requests := b.stream(b.Names.RetriesStream()).Msgs, b.stream(b.Names.RequestsStream()).Msgs
		return fmt.Sprint(retries, requests), retries == 2 && requests == 0
	})
	release := b.openrouter.Hold()
	defer release()
	var keeps, ends [2]string // of acme, and of the default tenant
	for _, ids := range []*[2]string{&keeps, &ends} {
		ids[0], ids[1] = b.askFor("acme", events.LaneInteractive, "hello", nil), b.Ask("hello", nil)
	}
	b.waitsFor(4)
	cancelled := func(callback, id string) {
		t.Helper()
		if r := b.resultOn(callback, id); !hasCode(r.Result, events.Cancelled) {
			t.Errorf("%s on %s: %s", id, callback, r.Body)
		}
	}
	b.cancelAs("", waits["acme"])
	b.cancelAs("acme", waits[""])
	b.cancelAs("", keeps[0])
	b.cancelAs("acme", keeps[1])
	b.cancelAs("acme", ends[0]) // comes after those
	b.cancelAs("", ends[1])
	cancelled(acmesOwn, ends[0])
	cancelled(b.Names.ResponseQueue, ends[1])
	if n := b.stream(b.Names.RetriesStream()).Msgs; n != 2 {
		t.Errorf("%d wait, want 2: a wait was ended by a cancellation that is not its own", n)
	}
	release()
	for i, callback := range []string{acmesOwn, b.Names.ResponseQueue} {
		if r := b.resultOn(callback, keeps[i]); r.Result.Status != events.StatusSuccess {
			t.Errorf("a call was ended by a cancellation that is not its own: %s", r.Body)
		}
	}
	b.cancelAs("acme", waits["acme"])
	cancelled(acmesOwn, waits["acme"])
	if n := b.stream(b.Names.RetriesStream()).Msgs; n > 1 {
		b.Until("its schedule is removed", func() (string, bool) { return "", b.stream(b.Names.RetriesStream()).Msgs == 1 })
	}
	b.cancelAs("", waits[""])
	cancelled(b.Names.ResponseQueue, waits[""])
	b.Idle()
	if all := b.Results(); len(all) != 6 {
		t.Errorf("results: %d, want 6", len(all))
	}
}

// The same id may be a request of an isolated tenant and of another: each has its own
// answer, and a cancellation ends one of them.
func TestSameIDOfAnIsolatedTenant(t *testing.T) {
	t.Parallel()
	b := withTenants(t, []tenant.Tenant{isolated("acme")})
	b.startKnowing()
	release := b.openrouter.Hold()
	defer release()
	id := servicetest.NewID()
	for _, subject := range []string{b.Names.RequestQueue, b.Names.Requests("acme", events.LaneInteractive)} {
		if _, err := b.JS.Publish(b.Context(), subject, servicetest.Body(id, "hello", nil)); err != nil {
			t.Fatal(err)
		}
	}
	b.waitsFor(2)
	b.cancelAs("acme", id)
	if r := b.resultOn(acmesOwn, id); !hasCode(r.Result, events.Cancelled) {
		t.Errorf("acme's: %s", r.Body)
	}
	release()
	if r := b.Result(id); r.Result.Status != events.StatusSuccess {
		t.Errorf("the default tenant's: %s", r.Body)
	}
}

// A tenant's requests name its models, as declared now.
func TestModelsOfATenant(t *testing.T) {
	t.Parallel()
	acme := tenant.Undeclared("acme")
	acme.Models = []string{"google/gemini-2.5-*"}
	b := withTenants(t, []tenant.Tenant{acme, tenant.Undeclared("beta")})
	b.startKnowing()
	another := map[string]any{"model": "google/gemini-3-pro"}
	for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
		r := b.Result(b.askFor("acme", lane, "hello", another))
		if text := string(r.Body); !hasCode(r.Result, events.InvalidRequest) || !strings.Contains(text, "model: is") || !strings.Contains(text, "google/gemini-2.5-*") {
			t.Errorf("another model: %s", text)
		}
	}
	ids := []string{b.askFor("acme", events.LaneInteractive, "hello", nil), b.askFor("beta", events.LaneInteractive, "hello", another), b.Ask("hello", another)}
	for _, id := range ids {
		if r := b.Result(id); r.Result.Status != events.StatusSuccess {
			t.Errorf("what it may name: %s", r.Body)
		}
	}
	_, err := b.declarations().Set(b.Context(), "acme", func(now *tenant.Tenant) error {
		now.Models = append(slices.Clone(now.Models), "google/gemini-3-*")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Until("the change is known", func() (string, bool) {
		r := b.Result(b.askFor("acme", events.LaneInteractive, "hello", another))
		return string(r.Body), r.Result.Status == events.StatusSuccess
	})
}
