package budget

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gemini-client/service/tenant"
)

// How long nothing is asked of a budget that has refused: holdFirst where it is spent,
// twice as long each time that it still is, and holdMost at last, so that a smaller call
// or one whose deadline has passed is looked at now and then.
const (
	holdFirst  = time.Second
	holdMost   = 30 * time.Second
	holdBusy   = 500 * time.Millisecond
	holdUnsure = countableAgain
)

// hold says that a budget has just refused.
type hold struct {
	until time.Time
	why   Why
	limit int64 // as it was: a raised budget holds nobody
	spent int64
	times int      // in a row
	whose []string // the tenants of the requests that it refused: what is left may do for others
}

// notes remembers that a request of a tenant was refused.
func (h *hold) notes(name string) {
	if !slices.Contains(h.whose, name) {
		h.whose = append(h.whose, name)
	}
}

// freed ends a hold that was for the sake of calls under way.
func (h *hold) freed() {
	if h.why == InTheWay {
		*h = hold{}
	}
}

// refuses returns a refusal that needs no counter: the amount is more than there is, or
// the budget was found spent just now. Else nil.
func (a *account) refuses(b bound, amount int64) *Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.hold
	r := &Error{Why: Spent, Again: holdMost, WhenSpent: b.spent, of: b.of(), bound: b, spent: h.spent, amount: amount}
	if amount > b.limit {
		r.Again = min(r.Again, time.Until(b.ends))
		return r
	}
	if h.why != Spent || h.limit != b.limit || h.spent+amount <= b.limit || !time.Now().Before(h.until) {
		return nil
	}
	a.hold.notes(b.whose)
	r.Again = spread(time.Until(h.until))
	return r
}

// refuse notes that there was no room for an amount, and returns the refusal.
func (a *account) refuse(b bound, amount int64, err error) *Error {
	r := &Error{Why: InTheWay, WhenSpent: b.spent, of: b.of(), bound: b, amount: amount}
	wait := holdBusy
	a.mu.Lock()
	defer a.mu.Unlock()
	h := &a.hold
	switch {
	case errors.Is(err, errSpent):
		r.Why, r.spent = Spent, slices.Min(a.spent)
		if h.why != Spent || !time.Now().Before(h.until) { // another call may have noted it in this moment
			h.times++
		}
		wait = min(holdFirst<<min(h.times-1, 10), holdMost)
		a.warnsSoon(b)
	case errors.Is(err, ErrUncountable):
		r.Why, wait = Uncounted, holdUnsure
	}
	wait = max(0, min(wait, time.Until(b.ends)))
	whose := h.whose
	if !time.Now().Before(h.until) {
		whose = nil
	}
	*h = hold{until: time.Now().Add(wait), why: r.Why, limit: b.limit, spent: r.spent, times: h.times, whose: slices.Clone(whose)}
	h.notes(b.whose)
	a.ledger.holdsUntil(h.until)
	r.Again = spread(wait)
	return r
}

// spread adds up to a tenth to a wait, and a tenth of a second.
func spread(wait time.Duration) time.Duration {
	return wait + rand.N(wait/10+100*time.Millisecond) //nolint:gosec // spreads retries, no secret
}

// holdsUntil notes that a budget holds its requests until a time.
func (l *Ledger) holdsUntil(until time.Time) {
	for {
		known := l.held.Load()
		if known >= until.UnixNano() || l.held.CompareAndSwap(known, until.UnixNano()) {
			return
		}
	}
}

// Held returns for how long none of a tenant's requests should be taken, because a budget
// has no room for them, and why; "" if they should be taken. Those of a tenant whose
// requests fail while the budget is spent should. It answers from memory, and at once
// while nobody is held.
func (l *Ledger) Held(name string) (again time.Duration, why string) {
	now := time.Now()
	if l == nil || l.held.Load() <= now.UnixNano() {
		return 0, ""
	}
	for _, b := range l.bounds(name, now) {
		if wait, text := l.heldBy(b, now); wait > again {
			again, why = wait, text
		}
	}
	return again, why
}

func (l *Ledger) heldBy(b bound, now time.Time) (time.Duration, string) {
	l.mu.Lock()
	a := l.accounts[key{b.scope, b.period}]
	l.mu.Unlock()
	if a == nil {
		return 0, ""
	}
	a.mu.Lock()
	h, refused := a.hold, slices.Contains(a.hold.whose, b.whose)
	a.mu.Unlock()
	wait := h.until.Sub(now)
	switch {
	case wait <= 0, !refused && h.why != Uncounted, h.limit != b.limit, h.why == Spent && b.spent == tenant.Fail:
		return 0, ""
	case h.why == Spent:
		return wait, fmt.Sprintf("the budget of %s is used up until %s (%s USD for %s)", b.of(), b.ends.Format(time.RFC3339), text(b.limit), b.period)
	case h.why == Uncounted:
		return wait, "what is spent cannot be counted: is stream BUDGETS there? (gemini-client provision)"
	}
	return wait, "calls under way may cost what is left of the budget of " + b.of()
}
