package budget_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/tenant"
)

// provider knows what is billed, and what calls under way may be billed yet.
type provider struct {
	mu           sync.Mutex
	billed, open int64
	most         int64 // of their sum
}

func (p *provider) begin(amount int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += amount
	p.most = max(p.most, p.billed+p.open)
}

func (p *provider) end(amount, cost int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open -= amount
	p.billed += cost
}

// life is a process with calls, which is killed, or whose sign of life lapses, at some
// time.
type life struct {
	process
	provider *provider
	dies     chan struct{}
	calls    sync.WaitGroup
}

// call makes calls until none gets room or the process dies. What its calls cost that
// were cut off is billed.
func (l *life) call(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range 40 {
		amount := 1 + random.Int64N(50)
		cost := random.Int64N(amount + 1)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(3000))*time.Millisecond)
		r, err := l.Reserve(ctx, "acme", amount)
		cancel()
		if err != nil {
			continue
		}
		l.provider.begin(amount)
		select {
		case <-time.After(time.Duration(random.IntN(1000)) * time.Millisecond):
			l.provider.end(amount, cost)
			r.Settle(cost)
		case <-l.dies:
			l.provider.end(amount, amount)
			return
		}
	}
}

// TestModel: whatever is lost, repeated, killed or taken for dead, what is billed and may
// be billed yet never passes the budget where the dead are booked. In the end nothing is
// reserved, and nothing that was billed is forgotten.
func TestModel(t *testing.T) {
	t.Parallel()
	const limit = 3000
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { model(t, seed, limit) })
		})
	}
}

func model(t *testing.T, seed uint64, limit int64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	kills, lapses := seed%3 == 1, seed%3 == 2
	s, billed := newServer(), &provider{}
	change := func(c *budget.Config) {
		c.Fleet = tenant.Budget{Month: budget.USD(limit)}
		c.FleetWhenSpent = tenant.Hold
	}
	var lives []*life
	for i := range 4 {
		l := &life{process: s.process(fmt.Sprint("p", i), change), provider: billed, dies: make(chan struct{})}
		l.rand, l.faulty = rand.New(rand.NewPCG(seed, uint64(10+i))), 0.2
		lives = append(lives, l)
		for c := range uint64(16) {
			l.calls.Go(func() { l.call(seed<<16 + uint64(i)<<8 + c) })
		}
	}
	wait := func() { <-time.After(time.Duration(1+random.IntN(4000)) * time.Millisecond) }
	if kills {
		for _, l := range lives[:2] {
			wait()
			close(l.dies)
			l.Abandon()
			s.kill(l.name, true)
		}
	}
	if lapses {
		for _, l := range lives[:2] {
			wait()
			l.set(func() { l.asleep = true })
			s.kill(l.name, random.IntN(2) == 0)
			<-time.After(20 * time.Second)
			s.kill(l.name, false)
			l.set(func() { l.asleep, l.lapses = false, l.lapses+1 })
		}
	}
	for _, l := range lives {
		l.calls.Wait()
	}
	<-time.After(time.Minute) // for the dead
	for i, l := range lives {
		if !kills || i > 1 {
			l.close(t)
		}
	}
	total := s.of(events.DefaultNames().BudgetTotal(budget.Fleet, month))
	if billed.most > limit {
		t.Errorf("billed or under way %d, limit %d", billed.most, limit)
	}
	exact := !kills && !lapses
	if total < billed.billed || exact && total != billed.billed { // what is in doubt counts as spent
		t.Errorf("the total is %d, billed are %d", total, billed.billed)
	}
	if held := s.held(); len(held) > 0 && !lapses {
		t.Errorf("held: %v", held)
	}
	if billed.billed < limit*9/10 && exact {
		t.Errorf("%d of %d are used", billed.billed, limit)
	}
}
