package inprocess_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gemini-client/service"
	"gemini-client/service/budget"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
	"gemini-client/telemetry"
)

const (
	fleetLimit = 4_000_000 // in millionths of a USD
	callAtMost = 1_000     // what is reserved for each call
	callers    = 32        // of each process
)

// till is what the provider bills, and what the killed had reserved.
type till struct {
	mu           sync.Mutex
	billed, lost int64
}

func (b *till) bill(cost, lost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.billed, b.lost = b.billed+cost, b.lost+lost
}

func (b *till) sum() (billed, lost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.billed, b.lost
}

// teller is a process that calls until its budget is spent, or it is killed.
type teller struct {
	bus    *bus.Bus
	ledger *budget.Ledger
	killed chan struct{}
	calls  sync.WaitGroup
	end    func()
}

func newTeller(t *testing.T, c config.Config) *teller {
	t.Helper()
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.Open(t.Context(), c, tel)
	if err != nil {
		t.Fatal(err)
	}
	intake, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &teller{bus: b, ledger: service.NewLedger(c, b, tenant.NewRegistry(), slog.New(slog.DiscardHandler)), killed: make(chan struct{})}
	var runs sync.WaitGroup
	runs.Go(func() {
		_ = b.Run(intake, intake, bus.Handlers{
			Deliver: func(context.Context, *bus.Delivery) {}, Cancelled: func(string, string) {}, Resumed: func() {},
			Pause: func() (time.Duration, string) { return 0, "" }, Status: func() any { return nil },
			Ended: func(context.Context) { p.ledger.Close(context.WithoutCancel(intake)) },
		})
	})
	p.end = func() {
		stop()
		runs.Wait()
		b.Close()
		_ = tel.Shutdown(context.Background())
	}
	return p
}

// start has the process make its calls.
func (p *teller) start(books *till) {
	for i := range uint64(callers) {
		p.calls.Go(func() { p.call(rand.New(rand.NewPCG(i, 1)), books) })
	}
}

// call makes calls until the budget is spent. One that is cut off is billed in full.
func (p *teller) call(random *rand.Rand, books *till) {
	for {
		r, err := p.ledger.Reserve(context.Background(), "acme", callAtMost)
		refused, isRefused := errors.AsType[*budget.Error](err)
		switch {
		case isRefused && refused.Why == budget.Spent:
			return
		case err != nil:
			select {
			case <-p.killed:
				return
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		cost := 500 + random.Int64N(callAtMost-500)
		select {
		case <-p.killed:
			books.bill(callAtMost, callAtMost)
			return
		case <-time.After(time.Duration(random.IntN(100)) * time.Millisecond):
		}
		books.bill(cost, 0)
		r.Settle(cost)
	}
}

// kill ends a process as kill -9 does.
func (p *teller) kill() {
	close(p.killed)
	p.ledger.Abandon()
	p.bus.Close()
	p.calls.Wait()
}

// TestLedgersOnAServer: four processes with 32 calls each, of which two are killed, never
// bill more than the budget where what the dead held counts as spent; where it is given
// back, no more than what they held beside it.
func TestLedgersOnAServer(t *testing.T) {
	t.Parallel()
	for what, slack := range map[budget.OnDeath]bool{budget.Book: false, budget.Release: true} {
		t.Run(string(what), func(t *testing.T) {
			t.Parallel()
			c, _, err := config.Load("", "")
			if err != nil {
				t.Fatal(err)
			}
			c.NATS.URL, c.AckWait, c.FleetBudget, c.BudgetOnDeath = servicetest.RunNATS(t).URL, 3*time.Second, "4/month", string(what)
			books := &till{}
			var all []*teller
			for range 4 {
				all = append(all, newTeller(t, c))
			}
			for _, p := range all {
				p.start(books)
			}
			for i, p := range all[:2] {
				for billed, _ := books.sum(); billed < fleetLimit/4*int64(i+1); billed, _ = books.sum() {
					<-time.After(time.Millisecond)
				}
				p.kill()
			}
			for _, p := range all[2:] {
				p.calls.Wait()
			}
			total, held := int64(0), int64(0)
			names, period := c.Names(), "month-"+time.Now().UTC().Format("2006-01")
			for _, p := range all {
				defer p.end()
			}
			err = all[3].bus.Totals(t.Context(), names.BudgetCounters(budget.Fleet, period), func(counter string, value int64, _ uint64) {
				if counter == names.BudgetTotal(budget.Fleet, period) {
					total = value
				} else {
					held += value
				}
			})
			billed, lost := books.sum()
			t.Logf("%s: billed %d of %d, the killed held %d; counted %d, held and warnings %d", what, billed, fleetLimit, lost, total, held)
			most := int64(fleetLimit)
			if slack { // of what calls held that were cut off, and of those whose settlement was not stored yet
				most += 2 * 2 * callers * callAtMost
			}
			if err != nil || billed > most || billed < fleetLimit*97/100 || lost == 0 || lost > 2*callers*callAtMost {
				t.Errorf("%v, billed %d, want at most %d", err, billed, most)
			}
		})
	}
}
