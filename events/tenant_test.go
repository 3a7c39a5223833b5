package events_test

import (
	"strings"
	"testing"

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
