package telemetry

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// BudgetNumbers is what is known of a budget, in USD.
type BudgetNumbers struct {
	Tenant, Period         string // whose; day, week or month
	Limit, Spent, Reserved float64
}

// ObserveBudgets sets the source of what is spent of each budget. It is called at each
// scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveBudgets(source func() []BudgetNumbers) {
	i.budgets.Store(&source)
}

// observeBudgets creates the gauges of the budgets, which share one source.
func (b *builder) observeBudgets(source *atomic.Pointer[func() []BudgetNumbers]) {
	limit, spent, reserved := b.usd(metricBudgetLimit), b.usd(metricBudgetSpent), b.usd(metricBudgetReserved)
	_, err := b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		ask := source.Load()
		if ask == nil {
			return nil
		}
		for _, n := range foldBudgets((*ask)()) {
			of := metric.WithAttributes(labelTenant.String(n.Tenant), labelPeriod.String(n.Period))
			o.ObserveFloat64(limit, n.Limit, of)
			o.ObserveFloat64(spent, n.Spent, of)
			o.ObserveFloat64(reserved, n.Reserved, of)
		}
		return nil
	}, limit, spent, reserved)
	b.keep(metricBudgetLimit, err)
}

func (b *builder) usd(name string) metric.Float64ObservableGauge {
	d := b.known[name]
	g, err := b.meter.Float64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning))
	b.keep(name, err)
	return g
}

// foldBudgets adds up those of the tenants that have no series of their own.
func foldBudgets(all []BudgetNumbers) (folded []BudgetNumbers) {
	slices.SortFunc(all, func(a, b BudgetNumbers) int { return cmp.Compare(a.Tenant, b.Tenant) })
	tenants, last := 0, ""
	others := map[string]int{} // place of the sum, by period
	for _, n := range all {
		if n.Tenant != last || tenants == 0 {
			tenants, last = tenants+1, n.Tenant
		}
		if tenants <= maxTenants {
			folded = append(folded, n)
			continue
		}
		i, there := others[n.Period]
		if !there {
			i = len(folded)
			others[n.Period] = i
			folded = append(folded, BudgetNumbers{Tenant: otherTenants, Period: n.Period})
		}
		sum := &folded[i]
		sum.Limit, sum.Spent, sum.Reserved = sum.Limit+n.Limit, sum.Spent+n.Spent, sum.Reserved+n.Reserved
	}
	return folded
}
