package config_test

import (
	"errors"
	"strings"
	"testing"

	"gemini-client/service/config"
	"gemini-client/service/tenant"
)

// Nothing is bounded until somebody asks for it.
func TestBudgetSetting(t *testing.T) {
	if c := load(t); !c.FleetBudget.Bounds().IsZero() || c.BudgetOnDeath != "book" || c.BudgetWhenSpent != "hold" {
		t.Errorf("by default: %q, %q, %q", c.FleetBudget, c.BudgetOnDeath, c.BudgetWhenSpent)
	}
	t.Setenv("BUDGET", "5/day,100/month")
	if c := load(t); c.FleetBudget.Bounds() != (tenant.Budget{Day: 5, Month: 100}) {
		t.Errorf("got %q", c.FleetBudget)
	}
	for name, text := range map[string]string{"BUDGET": "5/year", "BUDGET_ON_DEATH": "forget", "BUDGET_WHEN_SPENT": "stop"} {
		t.Setenv(name, text)
		c, _, err := config.Load("", "")
		if err == nil {
			err = c.Check()
		}
		if err == nil || !strings.Contains(err.Error(), name+"="+text+": want ") {
			t.Errorf("%s=%s: %v", name, text, err)
		}
	}
	if _, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("BUDGET=5/year: %v", err)
	}
}
