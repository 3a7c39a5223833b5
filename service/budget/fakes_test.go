package budget_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// server is the counters of all processes, in memory.
type server struct {
	mu       sync.Mutex
	counters map[string]int64
	most     map[string]int64 // that each of them ever was
	seqs     map[string]uint64
	ids      map[string]bool
	dead     map[string]bool
	seq      uint64
	missing  bool
}

func newServer() *server {
	return &server{counters: map[string]int64{}, most: map[string]int64{}, seqs: map[string]uint64{}, ids: map[string]bool{}, dead: map[string]bool{}}
}

func (s *server) add(counter string, by int64, id string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.missing:
		return 0, budget.ErrUncountable
	case id != "" && s.ids[id]:
		return 0, budget.ErrCounted
	}
	s.ids[id] = true
	s.seq++
	s.counters[counter] += by
	s.most[counter] = max(s.most[counter], s.counters[counter])
	s.seqs[counter] = s.seq
	return s.counters[counter], nil
}

// of returns a counter.
func (s *server) of(counter string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters[counter]
}

// held is the sum of what is held, each counter by itself.
func (s *server) held() (all []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for counter, value := range s.counters {
		if strings.Contains(counter, ".held.") && value != 0 {
			all = append(all, value)
		}
	}
	return all
}

// worker is a process's way to the server.
type worker struct {
	*server
	name string

	mu     sync.Mutex
	rand   *rand.Rand
	faulty float64 // share of increments whose answer is lost, or that are lost themselves
	lapses int
	asleep bool // its sign of life is not there
	cut    bool // nothing reaches the server any more
	blind  bool // it cannot read
}

var errLost = errors.New("no answer")

func (w *worker) fault() (before, after bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rand == nil {
		return w.cut, false, 0
	}
	return w.cut || w.rand.Float64() < w.faulty/2, w.rand.Float64() < w.faulty/2, time.Duration(w.rand.IntN(2000)) * time.Microsecond
}

func (w *worker) Add(ctx context.Context, counter string, by int64, id string) (int64, error) {
	before, after, wait := w.fault()
	if before || !sleep(ctx, wait) {
		return 0, errLost
	}
	total, err := w.add(counter, by, id)
	if after || !sleep(ctx, wait) {
		return 0, errLost
	}
	return total, err
}

func (w *worker) Totals(ctx context.Context, filter string, each func(string, int64, uint64)) error {
	before, _, wait := w.fault()
	if before || w.blind || !sleep(ctx, wait) {
		return errLost
	}
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	for counter, value := range w.counters {
		if strings.HasPrefix(counter, strings.TrimSuffix(filter, ">")) {
			each(counter, value, w.seqs[counter])
		}
	}
	return nil
}

func (w *worker) Ready(context.Context) error {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if w.missing {
		return budget.ErrUncountable
	}
	return nil
}

func (w *worker) Life() (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lapses, !w.asleep
}

func (w *worker) Dead(_ context.Context, instance string) (bool, error) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	return w.dead[instance], nil
}

// set changes a worker under its lock.
func (w *worker) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// kill marks an instance as dead, or not.
func (s *server) kill(instance string, dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead[instance] = dead
}

// sleep waits; false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// process is a ledger and its way to the server.
type process struct {
	*budget.Ledger
	*worker
	log *servicetest.Buffer
}

func (s *server) process(name string, change func(*budget.Config)) process {
	w := &worker{server: s, name: name}
	log := &servicetest.Buffer{}
	c := budget.Config{
		Counters: w, Names: events.DefaultNames(), Instance: name, OnDeath: budget.Book, Tenants: tenant.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	change(&c)
	return process{budget.New(c), w, log}
}

// fleet gives all together a budget a month.
func fleet(usd float64) func(*budget.Config) {
	return func(c *budget.Config) { c.Fleet = tenant.Budget{Month: usd} }
}

// reserve reserves, which has to succeed.
func (p process) reserve(t *testing.T, name string, amount int64) *budget.Reservation {
	t.Helper()
	r, err := p.Reserve(t.Context(), name, amount)
	if err != nil || r == nil {
		t.Fatalf("reserve %d for %s: %v, %v", amount, name, r, err)
	}
	return r
}

// refused reserves, which has to be refused.
func (p process) refused(t *testing.T, name string, amount int64, why budget.Why) *budget.Error {
	t.Helper()
	_, err := p.Reserve(t.Context(), name, amount)
	refusal, ok := errors.AsType[*budget.Error](err)
	if !ok || refusal.Why != why {
		t.Fatalf("reserve %d for %s: %v, want a refusal: %s", amount, name, err, why)
	}
	return refusal
}

// close ends a ledger, which has time enough.
func (p process) close(t *testing.T) {
	t.Helper()
	if left := p.Close(context.WithoutCancel(t.Context())); left != 0 {
		t.Errorf("%d are still held", left)
	}
}

// want compares a total, and that nothing is held.
func (s *server) want(t *testing.T, scope, period string, total int64) {
	t.Helper()
	if got := s.of(events.DefaultNames().BudgetTotal(scope, period)); got != total {
		t.Errorf("the total of %s in %s is %d, want %d", scope, period, got, total)
	}
	if held := slices.DeleteFunc(s.held(), func(n int64) bool { return n == 0 }); len(held) > 0 {
		t.Errorf("still held: %v", held)
	}
}
