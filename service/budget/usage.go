package budget

import (
	"context"
	"strings"
	"time"

	"gemini-client/service/tenant"
)

// Reader reads counters.
type Reader interface {
	// Totals calls each with every counter that a filter matches, what it is, and the
	// sequence of its last increment.
	Totals(ctx context.Context, filter string, each func(counter string, total int64, sequence uint64)) error
}

// Names are the subjects of the counters. events.Names has them.
type Names interface {
	// BudgetCounters is the filter for all counters of a scope in a period.
	BudgetCounters(scope, period string) string
	// BudgetTotal is the counter of what is spent and reserved.
	BudgetTotal(scope, period string) string
	// BudgetHeld is the counter of what is reserved by a process.
	BudgetHeld(scope, period, process string) string
	// BudgetWarned is the counter of those who have warned of a share of a limit.
	BudgetWarned(scope, period, share string) string
}

// Usage is what is known of one bound, in millionths of a USD.
type Usage struct {
	Scope  string // a tenant, or Fleet
	Kind   string // day, week, month
	Period string
	Limit  int64
	Spent  int64
	Held   []Held // reserved
}

// Held is what a process has reserved.
type Held struct {
	Process  string // its instance is ProcessOf
	Amount   int64
	sequence uint64
}

// Reserved is the sum of what is held.
func (u Usage) Reserved() (sum int64) {
	for _, h := range u.Held {
		sum += h.Amount
	}
	return sum
}

// Left is what may still be reserved.
func (u Usage) Left() int64 { return max(0, u.Limit-u.Spent-u.Reserved()) }

// Read returns what is known of each bound that a budget sets at a time. The error is
// the Reader's.
func Read(ctx context.Context, r Reader, n Names, of tenant.Tenant, now time.Time) ([]Usage, error) {
	var all []Usage
	for _, b := range bounds(nil, of.Name, of.Budget, of.WhenSpent, now) {
		u, err := read(ctx, r, n, b)
		if err != nil {
			return all, err
		}
		all = append(all, u)
	}
	return all, nil
}

// read reads the counters of a bound. What is held is never negative: that of a process
// that was taken for dead and settles afterwards can be, for a moment.
func read(ctx context.Context, r Reader, n Names, b bound) (Usage, error) {
	u := Usage{Scope: b.scope, Kind: b.kind, Period: b.period, Limit: b.limit}
	held := n.BudgetHeld(b.scope, b.period, "")
	total := n.BudgetTotal(b.scope, b.period)
	err := r.Totals(ctx, n.BudgetCounters(b.scope, b.period), func(counter string, value int64, sequence uint64) {
		process, isHeld := strings.CutPrefix(counter, held)
		switch {
		case counter == total:
			u.Spent += value
		case isHeld && value > 0:
			u.Held = append(u.Held, Held{process, value, sequence})
			u.Spent -= value
		}
	})
	return u, err
}

// ProcessOf returns the instance that a name of a process is one of: it takes another one
// each time that its sign of life lapsed.
func ProcessOf(process string) (instance string) {
	if i := strings.LastIndexByte(process, '-'); i >= 0 {
		return process[:i]
	}
	return process
}
