package tenant_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// TestEveryProblemIsNamed: bad values are refused with all their problems at once.
func TestEveryProblemIsNamed(t *testing.T) {
	t.Parallel()
	bad := tenant.Tenant{
		Name: "a.b", Weight: 0, MaxInFlight: -1, RequestsPerMinute: -1, TokensPerMinute: 2_000_000_000,
		Budget: tenant.Budget{Day: -1, Month: math.NaN()}, WhenSpent: "stop", Models: []string{"google/[", ""}, Note: strings.Repeat("x", 501),
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, problem := range []string{
		`name: "a.b"`, "weight: is 0", "max_in_flight: is -1", "requests_per_minute: is -1", "tokens_per_minute: is 2000000000", "-1 USD a day",
		"NaN USD a month", `when_spent: is "stop"`, `models: "google/["`, `models: ""`, "note: has 501 bytes",
	} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("the error does not say %q:\n%v", problem, err)
		}
	}
	isolated := tenant.Undeclared(events.DefaultTenant)
	isolated.Isolated = true
	if isolated.Validate() == nil {
		t.Error("the default tenant can be isolated")
	}
	if err := tenant.Undeclared("acme").Validate(); err != nil {
		t.Errorf("a tenant of which nothing is declared: %v", err)
	}
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]tenant.Budget{
		"": {}, "5/day": {Day: 5}, "0.5/week": {Week: 0.5}, "5/day, 100/month": {Day: 5, Month: 100},
	} {
		got, err := tenant.ParseBudget(text)
		if err != nil || got != want {
			t.Errorf("ParseBudget(%q) = %+v, %v", text, got, err)
		}
		if again, err := tenant.ParseBudget(got.String()); err != nil || again != got {
			t.Errorf("ParseBudget(%q) = %+v, %v", got, again, err)
		}
	}
	for _, text := range []string{"5", "5/year", "x/day", "-1/day", "NaN/day", "Inf/day", "1/day,2/day", "2e9/month", ","} {
		if got, err := tenant.ParseBudget(text); err == nil {
			t.Errorf("ParseBudget(%q) = %+v, want an error", text, got)
		}
	}
}

// TestStoredFormLeavesOutWhatIsNotDeclared, lest a record say more than its author did.
func TestStoredFormLeavesOutWhatIsNotDeclared(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(tenant.Undeclared("acme"))
	if err != nil || string(text) != `{"weight":1}` {
		t.Errorf("it is %s, %v", text, err)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := tenant.NewRegistry()
	told := 0
	r.OnChange(func() { told++ })
	if r.Any() || r.Of("acme").Weight != 1 {
		t.Error("an empty registry knows a tenant, or not what holds for all")
	}
	acme := tenant.Undeclared("acme")
	acme.Weight = 3
	r.Replace([]tenant.Tenant{tenant.Undeclared("b"), acme})
	if all := r.Declared(); told != 1 || len(all) != 2 || all[0].Name != "acme" || r.Of("acme").Weight != 3 {
		t.Errorf("told %d times, declared %v", told, all)
	}
	r.Replace(nil)
	if told != 2 || r.Any() || r.Of("acme").Weight != 1 {
		t.Error("a removed tenant is still there")
	}
}
