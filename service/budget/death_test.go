package budget_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/tenant"
)

// TestTheDeadAreSettledOnce, by one of all who live: as spent, or given back.
func TestTheDeadAreSettledOnce(t *testing.T) {
	t.Parallel()
	for what, want := range map[budget.OnDeath]int64{budget.Book: 33, budget.Release: 3} {
		t.Run(string(what), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				change := func(c *budget.Config) { c.Fleet, c.OnDeath = tenant.Budget{Month: 0.001}, what }
				a, b, c := s.process("a", change), s.process("b", change), s.process("c", change)
				a.reserve(t, "acme", 10)
				a.reserve(t, "acme", 20)
				b.reserve(t, "acme", 5).Settle(1)
				c.reserve(t, "acme", 5).Settle(2)
				<-time.After(time.Minute)
				if held := s.held(); len(held) != 1 || held[0] != 30 {
					t.Errorf("what the living hold was taken: %v", held)
				}
				a.Abandon()
				s.kill("a", true)
				<-time.After(time.Minute)
				b.close(t)
				c.close(t)
				s.want(t, budget.Fleet, month, want)
				if n := strings.Count(b.log.String()+c.log.String(), "a worker died while it called"); n != 1 {
					t.Errorf("said %d times", n)
				}
			})
		})
	}
}

// TestAProcessWhoseSignLapsed takes a new name, and what it holds along: nothing of it is
// taken twice, whether others have taken it for dead or not.
func TestAProcessWhoseSignLapsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		what   budget.OnDeath
		buried bool
		want   int64
	}{
		"nobody saw it":      {budget.Release, false, 7},
		"its calls released": {budget.Release, true, 7},
		"its calls booked":   {budget.Book, true, 27}, // and what they cost beside
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				change := func(c *budget.Config) { c.Fleet, c.OnDeath = tenant.Budget{Month: 0.001}, test.what }
				a, b := s.process("a", change), s.process("b", change)
				one, two := a.reserve(t, "acme", 10), a.reserve(t, "acme", 10)
				b.reserve(t, "acme", 1).Settle(0)
				a.set(func() { a.asleep = true })
				one.Settle(3)
				s.kill("a", test.buried)
				<-time.After(time.Minute)
				if held := s.held(); (len(held) == 0) != test.buried {
					t.Errorf("held: %v", held)
				}
				s.kill("a", false)
				a.set(func() { a.asleep, a.lapses = false, 1 })
				a.reserve(t, "acme", 5).Settle(0) // under its new name
				two.Settle(4)
				a.close(t)
				b.close(t)
				s.want(t, budget.Fleet, month, test.want)
			})
		})
	}
}

// TestAProcessOfWhichAPartWasTaken before it reserved more and saw that its sign had lapsed:
// nobody knows which of its calls are settled, so their costs are added.
func TestAProcessOfWhichAPartWasTaken(t *testing.T) {
	t.Parallel()
	for what, want := range map[budget.OnDeath]int64{budget.Release: 17, budget.Book: 27} {
		t.Run(string(what), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				change := func(c *budget.Config) { c.Fleet, c.OnDeath = tenant.Budget{Month: 0.001}, what }
				a, b := s.process("a", change), s.process("b", change)
				one := a.reserve(t, "acme", 10)
				b.reserve(t, "acme", 1).Settle(0)
				s.kill("a", true)
				<-time.After(time.Minute)
				s.kill("a", false)
				two := a.reserve(t, "acme", 10)
				a.set(func() { a.lapses = 1 })
				a.reserve(t, "acme", 5).Settle(0) // under its new name
				one.Settle(3)
				two.Settle(4)
				a.close(t)
				b.close(t)
				s.want(t, budget.Fleet, month, want)
			})
		})
	}
}

// TestASleepingProcessReservesNothing: others may take it for dead in this moment.
func TestASleepingProcessReservesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := s.process("a", fleet(1))
		p.set(func() { p.asleep = true })
		p.refused(t, "acme", 1, budget.InTheWay)
		if n := s.of(events.DefaultNames().BudgetTotal(budget.Fleet, month)); n != 0 {
			t.Errorf("reserved: %d", n)
		}
		p.close(t)
	})
}

// TestWarnings come once in a period, of all processes.
func TestWarnings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		a, b := s.process("a", fleet(0.0001)), s.process("b", fleet(0.0001))
		warned := func(n int) {
			t.Helper()
			<-time.After(time.Minute)
			if got := strings.Count(a.log.String()+b.log.String(), "more than 80 % of a budget is spent"); got != n {
				t.Errorf("warned %d times, want %d:\n%s%s", got, n, a.log, b.log)
			}
		}
		a.reserve(t, "acme", 79).Settle(79)
		b.reserve(t, "acme", 1)
		warned(0)
		b.reserve(t, "acme", 1).Settle(1)
		warned(1)
		usages := a.Usages()
		if len(usages) != 1 || usages[0].Spent != 80 || usages[0].Reserved() != 1 || usages[0].Limit != 100 || usages[0].Left() != 19 {
			t.Errorf("known: %+v", usages)
		}
		a.close(t)
		b.Abandon()
	})
}

// TestWhatAnotherIsAboutToGiveBackIsNotSpent, though it is held by nobody for a moment.
func TestWhatAnotherIsAboutToGiveBackIsNotSpent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p, total := s.process("a", fleet(0.0001)), events.DefaultNames().BudgetTotal(budget.Fleet, month)
		_, _ = s.add(total, 95, "")
		time.AfterFunc(120*time.Millisecond, func() { _, _ = s.add(total, -95, "") })
		p.reserve(t, "acme", 10).Settle(10)
		p.close(t)
		s.want(t, budget.Fleet, month, 10)
	})
}
