package telemetry

import (
	"fmt"
	"testing"
)

// TestManyBudgetsShareASeries: the first by name have one of their own.
func TestManyBudgetsShareASeries(t *testing.T) {
	t.Parallel()
	var all []BudgetNumbers
	for i := range maxTenants + 3 {
		for _, period := range []string{"day", "month"} {
			all = append(all, BudgetNumbers{Tenant: fmt.Sprintf("t%03d", maxTenants+2-i), Period: period, Limit: 3, Spent: 2, Reserved: 1})
		}
	}
	folded := foldBudgets(all)
	if len(folded) != 2*maxTenants+2 || folded[0].Tenant != "t000" {
		t.Fatalf("%d series, the first of %s", len(folded), folded[0].Tenant)
	}
	for _, n := range folded[2*maxTenants:] {
		if want := (BudgetNumbers{otherTenants, n.Period, 9, 6, 3}); n != want {
			t.Errorf("got %+v, want %+v", n, want)
		}
	}
	if foldBudgets(nil) != nil {
		t.Error("there are series where there is no budget")
	}
}
