package budget_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/budget"
)

// TestADearRequestHoldsItsOwnTenant: what is left of the budget of all may do for others,
// who are held when one of theirs was refused.
func TestADearRequestHoldsItsOwnTenant(t *testing.T) {
	t.Parallel()
	for _, why := range []budget.Why{budget.Spent, budget.InTheWay} {
		t.Run(string(why), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				p := s.process("a", fleet(0.0001))
				first := p.reserve(t, "acme", 50)
				if why == budget.Spent {
					first.Settle(50)
					synctest.Wait()
				}
				p.refused(t, "acme", 60, why)
				held := func(name string) bool { _, why := p.Held(name); return why != "" }
				if !held("acme") || held("other") {
					t.Errorf("held: acme %t, other %t", held("acme"), held("other"))
				}
				p.refused(t, "other", 60, why) // at once where it is spent, else after a while
				if held("acme") != (why == budget.Spent) || !held("other") || held("third") {
					t.Errorf("held: acme %t, other %t, third %t", held("acme"), held("other"), held("third"))
				}
				p.reserve(t, "third", 40).Settle(0)
				<-time.After(time.Minute)
				if held("acme") || held("other") {
					t.Error("held for ever")
				}
				first.Settle(0)
				p.close(t)
			})
		})
	}
}
