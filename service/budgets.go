package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"gemini-client/service/budget"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
)

// NewLedger returns the ledger of what calls cost, on the counters of a bus.
func NewLedger(c config.Config, b *bus.Bus, tenants *tenant.Registry, log *slog.Logger) *budget.Ledger {
	return budget.New(budget.Config{
		Counters: &counters{Bus: b, lived: map[string]time.Time{}}, Names: c.Names(), Instance: b.Instance(),
		Fleet: c.FleetBudget.Bounds(), FleetWhenSpent: tenant.WhenSpent(strings.ToLower(c.BudgetWhenSpent)),
		OnDeath: budget.OnDeath(strings.ToLower(c.BudgetOnDeath)), Tenants: tenants, Log: log,
	})
}

// counters are a bus's, as a ledger needs them.
type counters struct {
	*bus.Bus

	mu    sync.Mutex
	lived map[string]time.Time // by instance, when it was seen alive last
}

// livesOn is how long a process counts as alive that was seen alive.
const livesOn = 5 * time.Second

// Add implements budget.Counters.
func (c *counters) Add(ctx context.Context, counter string, by int64, id string) (int64, error) {
	total, err := c.Bus.Add(ctx, counter, by, id)
	switch {
	case errors.Is(err, bus.ErrCounted):
		return 0, budget.ErrCounted
	case bus.Uncounted(err):
		return 0, errors.Join(budget.ErrUncountable, err)
	}
	return total, err
}

// Ready implements budget.Counters.
func (c *counters) Ready(ctx context.Context) error {
	err := c.BudgetsReady(ctx)
	if bus.Uncounted(err) {
		return errors.Join(budget.ErrUncountable, err)
	}
	return err
}

// Dead implements budget.Counters.
func (c *counters) Dead(ctx context.Context, instance string) (bool, error) {
	if uuid.Validate(instance) != nil {
		return false, nil // a counter that no worker made
	}
	c.mu.Lock()
	seen := c.lived[instance]
	c.mu.Unlock()
	if time.Since(seen) < livesOn {
		return false, nil
	}
	dead, err := c.IsDead(ctx, instance)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lived, instance)
	if err == nil && !dead {
		c.lived[instance] = time.Now()
	}
	return dead, err
}
