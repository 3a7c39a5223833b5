package events_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

// TestSubjectSaysWhoAsks: each subject that Requests makes is read back by ParseRequests,
// and no other subject names a tenant.
func TestSubjectSaysWhoAsks(t *testing.T) {
	t.Parallel()
	n := events.DefaultNames()
	for subject, want := range map[string]struct {
		tenant string
		lane   events.Lane
	}{
		"gemini.requests":               {"default", events.LaneInteractive},
		"gemini.requests.default.batch": {"default", events.LaneBatch},
		"gemini.requests.acme":          {"acme", events.LaneInteractive},
		"gemini.requests.acme.batch":    {"acme", events.LaneBatch},
		"gemini.requests.batch":         {"batch", events.LaneInteractive},
		"gemini.requests.batch.batch":   {"batch", events.LaneBatch},
	} {
		if got := n.Requests(want.tenant, want.lane); got != subject {
			t.Errorf("Requests(%s, %s) = %s, want %s", want.tenant, want.lane, got, subject)
		}
		tenant, lane, ok := n.ParseRequests(subject)
		if !ok || tenant != want.tenant || lane != want.lane {
			t.Errorf("ParseRequests(%s) = %s, %s, %t", subject, tenant, lane, ok)
		}
	}
	for _, subject := range []string{
		"", "gemini", "gemini.request", "gemini.requestsx", "gemini.requests.", "gemini.requests.default", "gemini.requests.acme.fast",
		"gemini.requests.acme.batch.batch", "gemini.requests.*", "gemini.requests.a b", "gemini.requests." + strings.Repeat("x", 65),
	} {
		if tenant, _, ok := n.ParseRequests(subject); ok {
			t.Errorf("ParseRequests(%q) is tenant %s, want none", subject, tenant)
		}
	}
}

func TestTenantNames(t *testing.T) {
	t.Parallel()
	for name, valid := range map[string]bool{
		"a": true, "Acme_2-x": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a.b": false, "a*": false, ">": false, "ä": false, "a b": false,
	} {
		if got := events.ValidTenant(name); got != valid {
			t.Errorf("ValidTenant(%q) = %t", name, got)
		}
	}
}

// TestIsolatedTenantHasItsOwn: subjects of an isolated tenant are its own, each of them,
// and the streams and what only the service uses stay everybody's.
func TestIsolatedTenantHasItsOwn(t *testing.T) {
	t.Parallel()
	n := events.DefaultNames()
	of := n.Of("acme")
	got := []string{of.RequestQueue, of.ResponseQueue, of.Cancel(someID), of.Deltas(someID), of.ResponsesStream(), of.Claim(of.ResponseQueue, someID)}
	want := []string{
		"gemini.requests.acme", "gemini.responses.acme", "gemini.cancels.acme." + someID, "gemini.deltas.acme." + someID, "GEMINI_RESPONSES",
		"gemini.claims.gemini.responses.acme." + someID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for lane, want := range map[events.Lane]string{events.LaneInteractive: "gemini.requests.acme", events.LaneBatch: "gemini.requests.acme.batch"} {
		for _, whose := range []string{"acme", events.DefaultTenant} {
			if got := of.Requests(whose, lane); got != want {
				t.Errorf("Requests(%s, %s) of its names is %s", whose, lane, got)
			}
		}
		if tenant, got, ok := of.ParseRequests(want); tenant != "acme" || got != lane || !ok {
			t.Errorf("ParseRequests(%s) by its names is %s, %s, %t", want, tenant, got, ok)
		}
	}
	for _, other := range []string{"gemini.requests", "gemini.requests.acme.acme", "gemini.requests.acme.x.batch", "gemini.requests.b"} {
		if _, _, ok := of.ParseRequests(other); ok {
			t.Errorf("%s is read by its names", other)
		}
	}
	if n.Of("") != n {
		t.Error("the names of nobody are not the plain ones")
	}
	for callback, tenant := range map[string]string{
		"gemini.responses": "", "gemini.responses.acme": "acme", "gemini.responses.acme.b": "acme", "gemini.responsesx.acme": "", "other": "",
	} {
		if got := n.IsolatedBy(callback); got != tenant {
			t.Errorf("IsolatedBy(%s) = %q, want %q", callback, got, tenant)
		}
	}
}

// TestIsolatedCallbackIsItsOwners: an isolated tenant is answered on its own callback,
// whatever it names, and nobody else may name that one or one below it, though
// CALLBACK_ALLOW has it.
func TestIsolatedCallbackIsItsOwners(t *testing.T) {
	t.Parallel()
	all := rules()
	all.Names = events.DefaultNames()
	all.Callbacks = []string{"gemini.responses.acme", "gemini.responses.acme.deep", "gemini.responses.open"}
	all.Isolated = func(tenant string) bool { return tenant == "acme" }
	acme, open := all.Of("acme", true, nil), all.Of("open", false, nil)
	for name, c := range map[string]struct {
		rules     events.Rules
		callback  string // "": none is named
		want      string
		forbidden bool
	}{
		"acme names none":                 {acme, "", "gemini.responses.acme", false},
		"acme names the plain one":        {acme, "gemini.responses", "gemini.responses.acme", false},
		"acme names its own":              {acme, "gemini.responses.acme", "gemini.responses.acme", false},
		"acme names another's":            {acme, "gemini.responses.open", "gemini.responses.acme", true},
		"acme names one below":            {acme, "gemini.responses.acme.deep", "gemini.responses.acme", true},
		"another names acme's":            {open, "gemini.responses.acme", "gemini.responses", true},
		"another names one below acme's":  {open, "gemini.responses.acme.deep", "gemini.responses", true},
		"another names what it may":       {open, "gemini.responses.open", "gemini.responses.open", false},
		"the default tenant names acme's": {all, "gemini.responses.acme", "gemini.responses", true},
		"another names none":              {open, "", "gemini.responses", false},
	} {
		body := `{"request_id":"` + someID + `","prompt":"x"`
		if c.callback != "" {
			body += `,"callback_queue":"` + c.callback + `"`
		}
		r, err := c.rules.Decode([]byte(body+"}"), now())
		failure, failed := errors.AsType[events.Failure](err)
		if r.CallbackQueue != c.want || failed != c.forbidden || failed && failure.Code != events.CallbackNotAllowed {
			t.Errorf("%s: answered on %s, %v; want %s, forbidden %t", name, r.CallbackQueue, err, c.want, c.forbidden)
		}
	}
}

// TestTenantModels: a tenant's patterns narrow what its requests may name, wherever they
// name a model, the default included.
func TestTenantModels(t *testing.T) {
	t.Parallel()
	of := rules().Of("acme", false, []string{"google/gemini-3*"})
	for body, field := range map[string]string{
		`"model":"gemini-3-flash"`:         "",
		`"model":"google/gemini-2.5-pro"`:  "model: is",
		`"temperature":0`:                  "model: is not given",
		`"model":"gemini-3-x@preset/mine"`: "model: is",
		`"model":"gemini-3-x","openrouter":{"models":["gemini-3-y","google/gemini-2.5-pro"]}`: "openrouter.models[1]: is",
	} {
		_, err := of.Decode([]byte(`{"request_id":"`+someID+`","prompt":"x",`+body+`}`), now())
		failure, failed := errors.AsType[events.Failure](err)
		switch {
		case failed != (field != ""), failed && failure.Code != events.InvalidRequest:
			t.Errorf("%s: %v", body, err)
		case failed && (!strings.Contains(failure.Message, field) || !strings.Contains(failure.Message, `"acme"`) && !strings.Contains(failure.Message, "@preset") || !strings.Contains(failure.Message, "google/")):
			t.Errorf("%s: the text is %q", body, failure.Message)
		}
	}
}

// TestUndeclaredTenantsRulesCostNothing: rules for a request of a tenant of which nothing is
// declared are the service's, and making them allocates nothing.
func TestUndeclaredTenantsRulesCostNothing(t *testing.T) {
	all := rules()
	if n := testing.AllocsPerRun(100, func() { _ = all.Of("acme", false, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The counters of a limit are one subject each, whatever a model is called.
func TestLimitCounters(t *testing.T) {
	t.Parallel()
	n := events.DefaultNames()
	if got := n.Limit("tenant", "acme", "requests"); got != "gemini.limits.tenant.acme.requests" {
		t.Errorf("got %s", got)
	}
	one, other := n.Limit("model", "google/gemini-2.5-flash", "tokens"), n.Limit("model", "google/gemini-2.5-pro", "tokens")
	if one == other || strings.Count(one, ".") != 4 || strings.ContainsAny(one, "/* >") || one != n.Limit("model", "google/gemini-2.5-flash", "tokens") {
		t.Errorf("got %s and %s", one, other)
	}
}
