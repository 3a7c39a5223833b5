package budget_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// month is the period of synctest's clock, which begins with 2000.
const month = "month-2000-01"

// TestWithoutABudgetNothingIsAsked: not even of counters that are not there.
func TestWithoutABudgetNothingIsAsked(t *testing.T) {
	t.Parallel()
	s := newServer()
	p := s.process("a", func(*budget.Config) {})
	if r, err := p.Reserve(t.Context(), "acme", 5); r != nil || err != nil || p.Applies("acme") {
		t.Errorf("reserved %v, %v", r, err)
	}
	var none *budget.Ledger
	if none.Applies("acme") {
		t.Error("no ledger applies")
	}
	if again, why := none.Held("acme"); again != 0 || why != "" {
		t.Error("no ledger holds")
	}
	var nothing *budget.Reservation
	nothing.Settle(7)
	if len(s.counters) > 0 {
		t.Errorf("counted: %v", s.counters)
	}
	p.close(t)
}

// TestWithoutABudgetNothingIsAllocated.
//
//nolint:paralleltest // it counts what the whole process allocates
func TestWithoutABudgetNothingIsAllocated(t *testing.T) {
	p := newServer().process("a", func(*budget.Config) {})
	if allocated := testing.AllocsPerRun(100, func() { _, _ = p.Reserve(t.Context(), "acme", 5) }); allocated > 0 {
		t.Errorf("it allocates %v times", allocated)
	}
	p.close(t)
}

// TestReservedThenSettled: what is reserved and spent stays within the budget, and what a
// call did not cost is there for the next.
func TestReservedThenSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(0.0001))
		one, two := p.reserve(t, "acme", 60), p.reserve(t, "acme", 40)
		if refusal := p.refused(t, "acme", 1, budget.InTheWay); refusal.Again <= 0 || !strings.Contains(refusal.Error(), "reserved for calls under way") {
			t.Errorf("again in %s: %s", refusal.Again, refusal)
		}
		if again, why := p.Held("acme"); again == 0 || !strings.Contains(why, "under way") {
			t.Errorf("not held: %q", why)
		}
		one.Settle(10)
		one.Settle(60) // the first word counts
		two.Settle(40)
		synctest.Wait()
		if again, why := p.Held("acme"); again != 0 {
			t.Errorf("held for %s after a settlement: %s", again, why)
		}
		three := p.reserve(t, "acme", 50)
		three.Settle(55) // dearer than its estimate
		p.close(t)
		s.want(t, budget.Fleet, month, 105)
	})
}

// TestAWaitingCallGetsWhatAnotherGivesBack, in the moment in which it does.
func TestAWaitingCallGetsWhatAnotherGivesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(0.0001))
		one := p.reserve(t, "acme", 100)
		time.AfterFunc(time.Second, func() { one.Settle(20) })
		p.reserve(t, "acme", 80).Settle(0)
		p.close(t)
		s.want(t, budget.Fleet, month, 20)
	})
}

// TestSpentIsNotReserved: only what no settlement can give back is spent.
func TestSpentIsNotReserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(0.0001))
		p.reserve(t, "acme", 95).Settle(95)
		synctest.Wait()
		refusal := p.refused(t, "acme", 6, budget.Spent)
		if want := "0.000095 USD are spent, and this call may cost 0.000006 USD"; !strings.Contains(refusal.Error(), want) {
			t.Errorf("it says: %s", refusal)
		}
		again, why := p.Held("acme")
		if again <= 0 || again > 30*time.Second || !strings.Contains(why, "used up until 2000-02-01T00:00:00Z") {
			t.Errorf("held for %s: %q", again, why)
		}
		asked := s.seq
		p.refused(t, "acme", 6, budget.Spent)
		if s.seq != asked {
			t.Error("what was found spent in this moment is asked again")
		}
		p.reserve(t, "acme", 5).Settle(5) // a smaller one fits
		synctest.Wait()                   // what is said of it is said beside
		p.close(t)
		s.want(t, budget.Fleet, month, 100)
		if n := strings.Count(p.log.String(), "a budget is used up"); n != 1 {
			t.Errorf("the log says %d times that it is used up:\n%s", n, p.log)
		}
	})
}

// TestEveryBoundHolds: the tenant's for a day and a month, and that of all together; what
// one of them refuses is given back to the others.
func TestEveryBoundHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		acme := tenant.Undeclared("acme")
		acme.Budget, acme.WhenSpent = tenant.Budget{Day: 0.00005, Month: 0.0002}, tenant.Fail
		p := s.process("a", fleet(0.00008))
		p.Tenants.Replace([]tenant.Tenant{acme})
		p.reserve(t, "acme", 50).Settle(50)
		if refusal := p.refused(t, "acme", 1, budget.Spent); refusal.WhenSpent != tenant.Fail {
			t.Errorf("when spent: %q", refusal.WhenSpent)
		}
		if again, _ := p.Held("acme"); again != 0 {
			t.Error("requests are held that are to fail")
		}
		p.refused(t, "other", 31, budget.Spent) // of all together
		_, _ = s.add(events.DefaultNames().BudgetTotal("acme", "day-2000-01-01"), -50, "")
		<-time.After(time.Minute)
		p.refused(t, "acme", 31, budget.Spent)
		p.close(t)
		s.want(t, "acme", month, 50)
		s.want(t, "acme", "day-2000-01-01", 0)
		s.want(t, budget.Fleet, month, 50)
	})
}

// TestPeriodsRollOver: a call settles where it reserved, and the next period begins anew.
func TestPeriodsRollOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", func(c *budget.Config) { c.Fleet = tenant.Budget{Day: 0.0001, Week: 1} })
		one := p.reserve(t, "acme", 100)
		<-time.After(24 * time.Hour)
		p.reserve(t, "acme", 100).Settle(30)
		one.Settle(70)
		p.close(t)
		s.want(t, budget.Fleet, "day-2000-01-01", 70)
		s.want(t, budget.Fleet, "day-2000-01-02", 30)
		s.want(t, budget.Fleet, "week-1999-W52", 100)
	})
}

// TestRaisedBudgetHoldsNobody.
func TestRaisedBudgetHoldsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", func(*budget.Config) {})
		acme := tenant.Undeclared("acme")
		acme.Budget.Month = 0.0001
		p.Tenants.Replace([]tenant.Tenant{acme})
		p.reserve(t, "acme", 100).Settle(100)
		p.refused(t, "acme", 100, budget.Spent)
		acme.Budget.Month = 0.0002
		p.Tenants.Replace([]tenant.Tenant{acme})
		if again, why := p.Held("acme"); again != 0 {
			t.Errorf("held for %s: %s", again, why)
		}
		p.reserve(t, "acme", 100).Settle(100)
		p.close(t)
		s.want(t, "acme", month, 200)
	})
}

// TestWithoutCountersNothingIsSpent, which people are told once.
func TestWithoutCountersNothingIsSpent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.missing = true
		p := s.process("a", fleet(1))
		for range 3 {
			p.refused(t, "acme", 1, budget.Uncounted)
		}
		if n := strings.Count(p.log.String(), "gemini-client provision"); n != 1 {
			t.Errorf("said %d times:\n%s", n, p.log)
		}
		if again, why := p.Held("acme"); again == 0 {
			t.Errorf("not held: %s", why)
		}
		s.missing = false
		<-time.After(time.Minute)
		p.reserve(t, "acme", 1).Settle(1)
		p.close(t)
		s.want(t, budget.Fleet, month, 1)
	})
}

// TestWhileNATSIsAway a reservation waits, and a settlement is repeated until it is
// stored, or until there is no time left: then others find what is held.
func TestWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(1))
		one, two := p.reserve(t, "acme", 10), p.reserve(t, "acme", 20)
		p.set(func() { p.cut = true })
		time.AfterFunc(time.Second, func() { p.set(func() { p.cut = false }) })
		one.Settle(3)
		p.reserve(t, "acme", 5).Settle(5)
		synctest.Wait()
		p.set(func() { p.cut = true })
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("over"))
		defer cancel()
		if _, err := p.Reserve(ctx, "acme", 5); !errors.Is(err, context.Cause(ctx)) {
			t.Errorf("a call whose time is over: %v", err)
		}
		two.Settle(1)
		ending, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		if left := p.Close(ending); left != 20 {
			t.Errorf("%d are left, want 20", left)
		}
		if total, held := s.of(events.DefaultNames().BudgetTotal(budget.Fleet, month)), s.held(); total != 28 || len(held) != 1 || held[0] != 20 {
			t.Errorf("total %d, held %v", total, held)
		}
	})
}
