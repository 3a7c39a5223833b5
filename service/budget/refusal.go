package budget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gemini-client/service/tenant"
)

// Why says why nothing was reserved.
type Why string

// The reasons.
const (
	Spent     Why = "spent"       // what is left of the budget is less than the call may cost
	InTheWay  Why = "reserved"    // calls under way may cost what is left, or the counters do not answer
	Uncounted Why = "uncountable" // there are no counters
)

// Error is why nothing was reserved for a call. errors.As finds it.
type Error struct {
	Why       Why
	Again     time.Duration // when it may be asked again
	WhenSpent tenant.WhenSpent
	of        string
	bound     bound
	spent     int64
	amount    int64
}

// Error is a sentence for the requester.
func (r *Error) Error() string {
	b := fmt.Sprintf("The budget of %s, %s USD for %s,", r.of, text(r.bound.limit), r.bound.period)
	switch r.Why {
	case Spent:
		return fmt.Sprintf("%s is used up: %s USD are spent, and this call may cost %s USD.", b, text(r.spent), text(r.amount))
	case Uncounted:
		return b + " cannot be counted now, so it is not spent."
	case InTheWay:
	}
	return fmt.Sprintf("%s is reserved for calls under way; this one may cost %s USD.", b, text(r.amount))
}

func text(micros int64) string { return strconv.FormatFloat(USD(micros), 'f', -1, 64) }

// errSpent is a budget of which too little is left, whatever becomes of the calls under
// way.
var errSpent = errors.New("the budget is spent")

// looks is how often in a row the counters have to say that a budget is spent: what
// others are about to give back looks so for a moment. Whoever looked: on a slow machine
// one call alone may not look so often while it waits.
const looks = 3

// judge looks why there is no room for an amount. The error is errSpent, or nil while
// calls under way are in the way, as far as is known.
func (a *account) judge(ctx context.Context, b bound, amount int64) error {
	if _, err := a.look(ctx); err != nil {
		return nil // nothing new is known
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.spent) < looks || slices.Min(a.spent)+amount <= b.limit {
		return nil
	}
	return errSpent
}

// lookAgain is how long what was read holds.
const lookAgain = 50 * time.Millisecond

// look returns what the counters say. Those who ask at the same time ask once.
func (a *account) look(ctx context.Context) (Usage, error) {
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
	case <-ctx.Done():
		return Usage{}, context.Cause(ctx)
	}
	a.mu.Lock()
	u, at, b := a.known, a.asked, a.bound
	a.mu.Unlock()
	if time.Since(at) < lookAgain {
		return u, nil
	}
	at = time.Now()
	u, err := read(ctx, a.ledger.Counters, a.ledger.Names, b)
	if err != nil {
		return u, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.asked = u, at
	a.spent = append(a.spent[max(0, len(a.spent)-looks+1):], u.Spent)
	if !a.running { // nobody changes it meanwhile
		a.room = u.Left()
	}
	return u, nil
}
