package upstream_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
)

// books are the counters of one process, in memory.
type books struct {
	mu       sync.Mutex
	counters map[string]int64
	most     int64 // of any total
}

func (b *books) Add(_ context.Context, counter string, by int64, _ string) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counters[counter] += by
	if strings.HasSuffix(counter, ".total") {
		b.most = max(b.most, b.counters[counter])
	}
	return b.counters[counter], nil
}

func (b *books) Totals(_ context.Context, filter string, each func(string, int64, uint64)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for counter, value := range b.counters {
		if strings.HasPrefix(counter, strings.TrimSuffix(filter, ">")) {
			each(counter, value, 1)
		}
	}
	return nil
}

func (b *books) Ready(context.Context) error                { return nil }
func (b *books) Life() (int, bool)                          { return 0, true }
func (b *books) Dead(context.Context, string) (bool, error) { return false, nil }

// of returns what is spent, the most that was reserved and spent, and what is held.
func (b *books) of() (spent, most, held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for counter, value := range b.counters {
		if strings.Contains(counter, ".held.") {
			held += value
		} else if strings.HasSuffix(counter, ".total") {
			spent += value
		}
	}
	return spent, b.most, held
}

// budgeted is a bench whose calls are under a budget.
type budgeted struct {
	bench
	books  *books
	ledger *budget.Ledger
}

func newBudgeted(t *testing.T, usd float64, spent tenant.WhenSpent, change func(*config.Config)) budgeted {
	t.Helper()
	b := budgeted{bench: newBench(t, simulator.Config{}, change), books: &books{counters: map[string]int64{}}}
	b.ledger = budget.New(budget.Config{
		Counters: b.books, Names: events.DefaultNames(), Instance: "one", Fleet: tenant.Budget{Month: usd}, FleetWhenSpent: spent,
		OnDeath: budget.Book, Tenants: tenant.NewRegistry(), Log: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	b.Caller.Budget(b.ledger)
	t.Cleanup(func() { b.EndBudget(context.Background()) })
	return b
}

func (b budgeted) ask(t *testing.T, r events.Request) *upstream.Reply {
	t.Helper()
	return b.Answer(t.Context(), &r, func(int, string) {})
}

// settled ends the ledger and returns what is spent; nothing may be held.
func (b budgeted) settled(t *testing.T) int64 {
	t.Helper()
	b.EndBudget(t.Context())
	spent, _, held := b.books.of()
	if held != 0 {
		t.Errorf("%d are held in the end", held)
	}
	return spent
}

// further sets fields of OpenRouter's.
func further(text string) func(*events.Request) {
	return func(r *events.Request) {
		if err := json.Unmarshal([]byte(text), &r.OpenRouter); err != nil {
			panic(err)
		}
	}
}
