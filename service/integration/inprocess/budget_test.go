package inprocess_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/bus"
	"gemini-client/service/config"
)

// spending is a bench with a budget of one USD a month for all, and requests in hand that
// cost more.
func spending(t *testing.T, whenSpent string) *bench {
	t.Helper()
	return setup(t, quick, func(c *config.Config) {
		c.FleetBudget, c.BudgetWhenSpent, c.Concurrency = "1/month", whenSpent, 32
	})
}

// askAll publishes requests, of which each costs some 0.0005 USD.
func (b *bench) askAll(n int) {
	b.t.Helper()
	b.provision()
	for i := range n {
		b.Ask(fmt.Sprint(i, strings.Repeat(" tell me", 500)), map[string]any{"parameters": map[string]any{"max_output_tokens": 150}})
	}
}

// counters reads the counters that a filter matches.
func (b *bench) counters(filter string) map[string]int64 {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	conn, err := bus.Connect(b.Context(), b.config.NATS, log)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	all := map[string]int64{}
	if err := conn.Totals(b.Context(), b.config.Names().BudgetsStream(), filter, func(counter string, total int64, _ uint64) { all[counter] = total }); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// counted returns what the counters say of the month: spent and reserved together, and
// reserved.
func (b *bench) counted() (total, held int64) {
	b.t.Helper()
	names, period := b.config.Names(), "month-"+time.Now().UTC().Format("2006-01")
	for counter, value := range b.counters(names.BudgetCounters(budget.Fleet, period)) {
		switch {
		case counter == names.BudgetTotal(budget.Fleet, period):
			total += value
		case strings.Contains(counter, ".held."):
			held += value
		}
	}
	return total, held
}

// TestABudgetHolds: 1.00 USD and 3,000 requests in hand that cost 1.5: OpenRouter bills
// at most the budget and nearly all of it, the others wait, and with more money they are
// answered.
func TestABudgetHolds(t *testing.T) {
	t.Parallel()
	const spendingRequests = 3000
	b := spending(t, "hold")
	b.askAll(spendingRequests)
	r := b.start()
	b.Until("the budget is used up", func() (string, bool) {
		return fmt.Sprint(b.openrouter.Cost()), strings.Contains(b.log.String(), "a budget is used up") && b.openrouter.InFlight() == 0
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	spent := b.openrouter.Cost()
	total, held := b.counted()
	t.Logf("billed %.6f, counted %d, held %d, %d calls", spent, total, held, b.openrouter.Count())
	if spent > 1 || spent < 0.97 || held != 0 || total < budget.Micros(spent) || total > 1e6 {
		t.Errorf("billed %v, counted %d, held %d", spent, total, held)
	}
	if n := b.openrouter.Count(); n != len(b.Results()) {
		t.Errorf("%d calls, %d results", n, len(b.Results()))
	}
	b.config.FleetBudget = "10/month"
	b.start()
	b.Idle()
	if n, calls := len(b.Results()), b.openrouter.Count(); n != spendingRequests || calls != spendingRequests {
		t.Errorf("%d results, %d calls", n, calls)
	}
	for _, result := range b.Results() {
		if !strings.Contains(result.Subject, ".completed.") {
			t.Errorf("%s", result.Body)
		}
	}
}

// TestABudgetFails: the requests for which there is no money fail, and are no dead letters.
func TestABudgetFails(t *testing.T) {
	t.Parallel()
	const spendingRequests = 700
	b := spending(t, "fail")
	b.config.FleetBudget = "0.25/month"
	b.askAll(spendingRequests)
	r := b.start()
	b.Idle()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	failed := 0
	for _, result := range b.Results() {
		if strings.Contains(string(result.Body), `"error_code":"budget_exceeded"`) && strings.Contains(string(result.Body), `"retryable":false`) {
			failed++
		}
	}
	spent, calls := b.openrouter.Cost(), b.openrouter.Count()
	t.Logf("billed %.6f, %d calls, %d failed", spent, calls, failed)
	if spent > 0.25 || spent < 0.24 || failed != spendingRequests-calls || len(b.Results()) != spendingRequests {
		t.Errorf("billed %v in %d calls, %d failed, %d results", spent, calls, failed, len(b.Results()))
	}
	if n := b.stream(b.Names.DeadlettersStream()).Msgs; n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestTwoServicesShareABudget, of which one is stopped and started again.
func TestTwoServicesShareABudget(t *testing.T) {
	t.Parallel()
	b := spending(t, "fail")
	b.config.FleetBudget = "0.25/month"
	b.askAll(700)
	one := b.start()
	b.start()
	b.Until("a third is spent", func() (string, bool) { return "", b.openrouter.Cost() > 0.08 })
	if err := one.stop(); err != nil {
		t.Error(err)
	}
	b.start()
	b.Idle()
	for _, r := range b.replicas {
		_ = r.stop()
	}
	total, held := b.counted()
	if spent := b.openrouter.Cost(); spent > 0.25 || spent < 0.24 || held != 0 || total < budget.Micros(spent) || total > 250_000 {
		t.Errorf("billed %v, counted %d, held %d", spent, total, held)
	}
}

// TestABudgetThatCannotBeCountedIsNotSpent: people are told once how to mend it, and then
// the requests are answered.
func TestABudgetThatCannotBeCountedIsNotSpent(t *testing.T) {
	t.Parallel()
	b := spending(t, "hold")
	b.provision()
	name := b.Names.BudgetsStream()
	if err := b.JS.DeleteStream(b.Context(), name); err != nil {
		t.Fatal(err)
	}
	b.config.Provision = false
	b.start()
	ids := []string{b.Ask("one", nil), b.Ask("two", nil)}
	b.Until("people are told", func() (string, bool) {
		return "", strings.Contains(b.log.String(), "what is spent cannot be counted") && strings.Contains(b.log.String(), "gemini-client provision")
	})
	if n := b.openrouter.Count(); n != 0 {
		t.Errorf("%d calls", n)
	}
	b.provision()
	for _, id := range ids {
		b.Result(id)
	}
	if n := strings.Count(b.log.String(), "what is spent cannot be counted"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestABatchIsNoWayAroundABudget: what it costs cannot be reserved, so the request is
// answered in the ordinary way, or fails.
func TestABatchIsNoWayAroundABudget(t *testing.T) {
	t.Parallel()
	b := spending(t, "hold")
	b.start()
	ordinary := b.Result(b.Ask("one", map[string]any{"tier": "batch"}))
	failed := b.Result(b.Ask("two", map[string]any{"tier": "batch", "tier_fallback": false}))
	if !strings.Contains(ordinary.Subject, ".completed.") || !strings.Contains(string(failed.Body), "there is a budget, and what a batch costs cannot be reserved") {
		t.Errorf("%s\n%s", ordinary.Body, failed.Body)
	}
	if stats := b.openrouter.Stats(); stats.Batches != 0 || stats.Started != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestADeadlineEndsTheHold: a request that waits for money is answered at its deadline.
func TestADeadlineEndsTheHold(t *testing.T) {
	t.Parallel()
	b := spending(t, "hold")
	b.config.FleetBudget = "0.0001/month"
	b.start()
	id := b.Ask("one", map[string]any{"deadline": time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)})
	if result := b.Result(id); !strings.Contains(string(result.Body), string(events.DeadlineExceeded)) {
		t.Errorf("%s", result.Body)
	}
	if b.openrouter.Count() != 0 {
		t.Error("it was called for")
	}
}

// TestACutCallIsBookedInFull.
func TestACutCallIsBookedInFull(t *testing.T) {
	t.Parallel()
	b := spending(t, "hold")
	r := b.start()
	b.Result(b.Ask("one [sim:cut after=2 times=1]", map[string]any{"parameters": map[string]any{"max_output_tokens": 10000}}))
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if total, held := b.counted(); total < 25000 || total > 26000 || held != 0 {
		t.Errorf("counted %d, held %d: the cut call had 25,000 and little more reserved", total, held)
	}
}
