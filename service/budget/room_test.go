package budget_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
)

// TestWithoutRoomNothingIsAskedFor: what is asked for is in the total until it has gone
// back, where `usage` and the metrics see it as spent.
func TestWithoutRoomNothingIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		one, two := s.process("a", fleet(0.0001)), s.process("b", fleet(0.0001))
		first := one.reserve(t, "acme", 90)
		one.refused(t, "acme", 20, budget.InTheWay)
		two.refused(t, "acme", 20, budget.InTheWay)
		two.reserve(t, "acme", 10).Settle(10)
		first.Settle(85)
		synctest.Wait()
		one.refused(t, "acme", 11, budget.Spent) // for 10 there was room when it asked last
		two.refused(t, "acme", 6, budget.Spent)
		one.close(t)
		two.close(t)
		s.want(t, budget.Fleet, month, 95)
		if most := s.most[events.DefaultNames().BudgetTotal(budget.Fleet, month)]; most != 100 {
			t.Errorf("the total was %d, want 100 at most", most)
		}
	})
}

// TestWhatOthersAskForIsNotSaidToBeSpent: they ask at the same time, and it goes back.
func TestWhatOthersAskForIsNotSaidToBeSpent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(0.0001))
		p.reserve(t, "acme", 95).Settle(95)
		synctest.Wait()
		total := events.DefaultNames().BudgetTotal(budget.Fleet, month)
		time.AfterFunc(150*time.Millisecond, func() { _, _ = s.add(total, 10, "") })
		time.AfterFunc(250*time.Millisecond, func() { _, _ = s.add(total, -10, "") })
		if text := p.refused(t, "acme", 6, budget.Spent).Error(); !strings.Contains(text, "0.000095 USD are spent") {
			t.Errorf("it says: %s", text)
		}
		synctest.Wait() // what is said of it is said beside
		if text := p.log.String(); !strings.Contains(text, "spent_usd=9.5e-05") {
			t.Errorf("the log says: %s", text)
		}
		p.close(t)
	})
}

// TestWhoCannotLookAsks: of a bound with too many processes nobody can read the counters.
func TestWhoCannotLookAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(0.0001))
		p.blind = true
		one := p.reserve(t, "acme", 90)
		p.refused(t, "acme", 20, budget.InTheWay)
		one.Settle(50)
		p.reserve(t, "acme", 50).Settle(50)
		p.close(t)
		s.want(t, budget.Fleet, month, 100)
	})
}
