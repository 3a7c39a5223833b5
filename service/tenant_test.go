package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
)

// of makes a delivery a tenant's.
func of(d *bus.Delivery, tenant string, isolated bool) *bus.Delivery {
	d.Tenant, d.Lane, d.Isolated = tenant, events.LaneBatch, isolated
	return d
}

// declared is a line before tenants: acme is isolated, and open may name one model.
func declared(t *testing.T, b *fakeBus, up fakeUpstream) line {
	t.Helper()
	acme, open := tenant.Undeclared("acme"), tenant.Undeclared("open")
	acme.Isolated, open.Models = true, []string{"google/gemini-2.5-*"}
	l := newLine(t, b, up)
	b.tenants.Replace([]tenant.Tenant{acme, open})
	l.tenants = &b.tenants
	l.rules.Isolated = func(name string) bool { return l.tenants.Of(name).Isolated }
	return l
}

// A result, the request that is asked for, the log line and the spans say whose it is.
func TestTenantIsTold(t *testing.T) {
	t.Parallel()
	asked := make(chan events.Request, 1)
	l := newLine(t, &fakeBus{}, func(_ context.Context, r events.Request) upstream.Reply {
		asked <- r
		return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}, Attempts: 1}
	})
	l.deliver(t.Context(), of(delivery(""), "acme", false))
	if r := <-asked; r.Tenant != "acme" || r.Lane != events.LaneBatch {
		t.Errorf("the request is of %s, %s", r.Tenant, r.Lane)
	}
	if end := l.only(t); end.Result.Tenant != "acme" {
		t.Errorf("the result is of %q", end.Result.Tenant)
	}
	if lines := l.logged(t, "request completed"); len(lines) != 1 || !strings.Contains(fmt.Sprint(lines), "acme") {
		t.Errorf("the log says %v", lines)
	}
	for _, s := range l.spans.GetSpans() {
		if text := fmt.Sprint(s.Attributes); strings.HasPrefix(s.Name, "process") && !strings.Contains(text, "gemini.tenant") {
			t.Errorf("span %s has %s", s.Name, text)
		}
	}
}

// A message that cannot be read, and one that makes decoding panic, is its tenant's too.
func TestTenantOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{}, nil)
	l.decode = func(events.Rules, []byte, time.Time) (events.Request, error) { panic("boom") }
	if j := l.read(t.Context(), of(delivery(""), "acme", false)); j.request.Tenant != "acme" || !errors.Is(j.broken, events.ErrNoID) {
		t.Errorf("it is of %q: %v", j.request.Tenant, j.broken)
	}
}

// Who may name which callback and which model is what is declared now; where a request is
// answered follows from it.
func TestRulesOfDeclaredTenants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tenant   string
		more     string
		callback string
		code     events.Code // of its failure; "" if there is none
	}{
		"isolated":                        {"acme", "", "gemini.responses.acme", ""},
		"isolated, plain callback":        {"acme", `,"callback_queue":"gemini.responses"`, "gemini.responses.acme", ""},
		"isolated, another's callback":    {"acme", `,"callback_queue":"gemini.responses.x"`, "gemini.responses.acme", events.CallbackNotAllowed},
		"another names the isolated one":  {"open", `,"callback_queue":"gemini.responses.acme"`, "gemini.responses", events.CallbackNotAllowed},
		"a stranger names a free one":     {"stranger", `,"callback_queue":"gemini.responses.x"`, "gemini.responses.x", ""},
		"the default one names the same":  {"default", `,"callback_queue":"gemini.responses.acme"`, "gemini.responses", events.CallbackNotAllowed},
		"another model than the tenant's": {"open", `,"model":"google/gemini-3-pro"`, "gemini.responses", events.InvalidRequest},
		"the model of a tenant":           {"open", `,"model":"gemini-2.5-pro"`, "gemini.responses", ""},
		"the same model of another":       {"stranger", `,"model":"google/gemini-3-pro"`, "gemini.responses", ""},
	} {
		b := &fakeBus{}
		l := declared(t, b, nil)
		l.rules.Callbacks = []string{"gemini.responses.x", "gemini.responses.acme"}
		l.deliver(t.Context(), of(delivery(c.more), c.tenant, c.tenant == "acme"))
		end := l.only(t)
		var code events.Code
		if end.Result.ErrorCode != nil {
			code = *end.Result.ErrorCode
		}
		if b.asks[0].Callback != c.callback || code != c.code {
			t.Errorf("%s: answered on %s with %q, want %s with %q", name, b.asks[0].Callback, code, c.callback, c.code)
		}
	}
}

// A cancellation ends the calls of its tenant's request, on whatever callback, and no
// other's of the same id.
func TestCancellationIsItsTenants(t *testing.T) {
	t.Parallel()
	f := newInFlight()
	ended := map[string]int{}
	for callback, d := range map[string]*bus.Delivery{
		"a": {Tenant: "default"}, "b": {Tenant: "open"}, "gemini.responses.acme": {Tenant: "acme", Isolated: true},
	} {
		leave, _ := f.enter(callback, anID, call{d, func(error) { ended[callback]++ }})
		defer leave()
	}
	f.cancel(cancellation{"acme", anID}, upstream.ErrCancelled)
	if fmt.Sprint(ended) != "map[gemini.responses.acme:1]" {
		t.Errorf("acme's ended %v", ended)
	}
	f.cancel(cancellation{"open", anID}, upstream.ErrCancelled) // it is not isolated: it has none of its own
	f.cancel(cancellation{"", anID}, upstream.ErrCancelled)
	if fmt.Sprint(ended) != "map[a:1 b:1 gemini.responses.acme:1]" {
		t.Errorf("all together ended %v", ended)
	}
}

// What waits as a schedule is answered as cancelled for its own tenant's word alone.
func TestWaitingIsCancelledByItsTenant(t *testing.T) {
	t.Parallel()
	b := &fakeBus{waiting: func(callback, _ string) *bus.Delivery {
		if callback != "gemini.responses.acme" {
			return nil
		}
		return of(delivery(""), "acme", true)
	}}
	l := declared(t, b, nil)
	w := newCancelledWaiting(l.handler)
	for _, one := range []cancellation{{"", anID}, {"open", anID}} {
		for _, callback := range append(w.callbacks(one.tenant), "gemini.responses.acme") {
			l.cancelWaiting(t.Context(), callback, one)
		}
	}
	if ends := b.settled(); len(ends) != 0 {
		t.Fatalf("others' cancellations ended it: %+v", ends)
	}
	for _, callback := range w.callbacks("acme") {
		l.cancelWaiting(t.Context(), callback, cancellation{"acme", anID})
	}
	if end := l.only(t); *end.Result.ErrorCode != events.Cancelled || b.asks[0].Callback != "gemini.responses.acme" {
		t.Errorf("its own: %+v", end)
	}
}

// Without any declared tenant the rules are the service's, for nothing.
func TestRulesWithoutTenantsCostNothing(t *testing.T) {
	l := newLine(t, &fakeBus{}, nil)
	l.tenants = tenant.NewRegistry()
	d := of(delivery(""), "acme", false)
	if n := testing.AllocsPerRun(100, func() { _ = l.rulesOf(d) }); n != 0 {
		t.Errorf("allocations: %v", n)
	}
	declared := tenant.Undeclared("other")
	l.tenants.Replace([]tenant.Tenant{declared})
	if n := testing.AllocsPerRun(100, func() { _ = l.rulesOf(d) }); n != 0 {
		t.Errorf("allocations beside a declared tenant: %v", n)
	}
}
