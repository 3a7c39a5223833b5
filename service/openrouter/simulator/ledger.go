package simulator

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// How a call ended, unless a fault ended it: then its Outcome is the fault's name.
const (
	OutcomeCompleted    = "completed"
	OutcomeCancelled    = "cancelled by client"
	OutcomeClosed       = "simulator closed"
	OutcomeUnauthorized = "unauthorized"
	OutcomeRateLimited  = "rate limited"
	OutcomeInvalid      = "invalid request"
	OutcomeSpent        = "key limit"
)

// Call is the record of one POST to /chat/completions.
type Call struct {
	// Number counts calls from 1 in the order of their arrival.
	Number    int
	At, Ended time.Time
	// Key is the whole API key: this is a test double, and it never logs it.
	Key string
	// Prompt is the text of the last user message, markers included.
	Prompt string
	// Model is the first one asked for, ModelUsed the one that answered.
	Model, ModelUsed string
	Stream           bool
	Body             json.RawMessage
	Header           http.Header
	// Status is 0 while no header has been sent.
	Status int
	// Outcome is empty while the call is in flight.
	Outcome string
	// Fault is the name of the fault that was played, whoever ended the call.
	Fault string
	// GenerationID is empty if no model was reached.
	GenerationID                                                  string
	PromptTokens, CompletionTokens, ReasoningTokens, CachedTokens int
	FinishReason, NativeFinishReason                              string
	// Cost is what was billed, in USD; a cancelled call is billed whole.
	Cost float64
	// ServiceTier is the price tier that served, empty if none was asked for.
	ServiceTier string
	// CacheHit says that the response cache answered, for nothing.
	CacheHit bool
	// SessionID and User are the request's.
	SessionID, User string

	readyAt   time.Time
	forgotten bool
}

// Stats counts calls.
type Stats struct {
	// Started counts calls that have arrived, Ended those that are over, InFlight the others.
	Started, Ended, InFlight int
	// Held counts the calls in flight that wait for the release of a Hold.
	Held int
	// Answering counts the calls in flight whose status and headers have been sent.
	Answering int
	// Cost is the sum of what was billed, in USD, batches included.
	Cost float64
	// Batches counts the batches that were stored, BatchesEnded those of them that are over. BatchReads counts the requests
	// that read one, BatchItems the items that a model has run, BatchCost what they were billed.
	Batches, BatchesEnded, BatchReads, BatchItems int
	BatchCost                                     float64
}

// ledger keeps the calls. Its methods may be called from several goroutines.
type ledger struct {
	mu       sync.Mutex
	keep     int
	onEnd    func(Call)
	calls    []*Call
	byPrompt map[string]int
	byID     map[string]*Call
	spent    map[string]float64
	stats    Stats
	changed  chan struct{} // closed and dropped at the next change; nil while nobody waits
}

func newLedger(config Config) ledger {
	return ledger{
		keep:     config.History,
		onEnd:    config.OnCall,
		byPrompt: make(map[string]int),
		byID:     make(map[string]*Call),
		spent:    make(map[string]float64),
	}
}

// start gives the call its number and counts it as in flight.
func (l *ledger) start(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Started++
	l.stats.InFlight++
	c.Number = l.stats.Started
	l.calls = append(l.calls, c)
	l.byPrompt[c.Prompt]++
	if l.keep > 0 && len(l.calls) > l.keep {
		l.forget(l.calls[0])
		l.calls[0] = nil
		l.calls = l.calls[1:]
	}
	l.announce()
}

// forget removes a call, which may still be in flight, from the indexes.
func (l *ledger) forget(c *Call) {
	c.forgotten = true
	delete(l.byID, c.GenerationID)
	if l.byPrompt[c.Prompt]--; l.byPrompt[c.Prompt] == 0 {
		delete(l.byPrompt, c.Prompt)
	}
}

// update changes a call or the counts under the lock.
func (l *ledger) update(change func(*Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.stats)
	l.announce()
}

// end settles the call. Afterwards nothing changes it any more. OnCall comes before the count, so that it has been called
// with every call when none is in flight.
func (l *ledger) end(c *Call, outcome string) {
	l.mu.Lock()
	c.Outcome, c.Ended = outcome, time.Now()
	ended := *c
	l.mu.Unlock()
	if l.onEnd != nil {
		l.onEnd(ended)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.InFlight--
	l.stats.Ended++
	if c.Status != 0 {
		l.stats.Answering--
	}
	l.stats.Cost += c.Cost
	if c.Cost > 0 {
		l.spent[c.Key] += c.Cost
	}
	if c.GenerationID != "" && !c.forgotten {
		l.byID[c.GenerationID] = c
	}
	l.announce()
}

// announce wakes all callers of Wait; the caller holds the lock.
func (l *ledger) announce() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// charge bills an item of a batch.
func (l *ledger) charge(key string, cost float64) {
	l.update(func(stats *Stats) {
		stats.Cost += cost
		stats.BatchCost += cost
		stats.BatchItems++
		l.spent[key] += cost
	})
}

// find returns a generation that has ended.
func (l *ledger) find(id string) (Call, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, found := l.byID[id]
	if !found {
		return Call{}, false
	}
	return *c, true
}

// spentBy returns what one key has been billed.
func (l *ledger) spentBy(key string) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent[key]
}

// observe returns the counts and a channel that is closed when they have changed.
func (l *ledger) observe() (Stats, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.stats, l.changed
}

// Calls returns the remembered calls in the order of their arrival.
func (s *Simulator) Calls() []Call {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	calls := make([]Call, len(s.ledger.calls))
	for i, c := range s.ledger.calls {
		calls[i] = *c
	}
	return slices.Clip(calls)
}

// CountFor returns how many of the remembered calls had exactly this last user message, markers included.
func (s *Simulator) CountFor(prompt string) int {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.byPrompt[prompt]
}

// Stats returns the counts of all calls so far.
func (s *Simulator) Stats() Stats {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.stats
}

// Count returns how many chat calls have arrived.
func (s *Simulator) Count() int { return s.Stats().Started }

// InFlight returns how many chat calls have arrived and not ended. A call ends just before its last bytes are sent, so
// a client that has read an answer to its end finds the call ended.
func (s *Simulator) InFlight() int { return s.Stats().InFlight }

// Cost returns what all calls were billed, in USD.
func (s *Simulator) Cost() float64 { return s.Stats().Cost }

// Wait returns nil once until is true of the counts, or the context's cause. It checks at once, and again after each
// change; until may call the simulator's other methods.
func (s *Simulator) Wait(ctx context.Context, until func(Stats) bool) error {
	for {
		stats, changed := s.ledger.observe()
		if until(stats) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
