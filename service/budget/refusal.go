package budget

import (
	"context"
	"errors"
	"fmt"
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
// others are about to give back looks so for a moment.
const looks = 3

// doubt is what a call that waits has seen.
type doubt struct {
	spent int       // looks in a row that found it spent
	last  time.Time // the last look
}

// judge looks why there is no room for an amount. The error is errSpent, or nil while
// calls under way are in the way, as far as is known.
func (d *doubt) judge(ctx context.Context, a *account, b bound, amount int64) error {
	u, at, err := a.look(ctx)
	switch {
	case err != nil || at.Equal(d.last):
		return nil //nolint:nilerr // nothing new is known
	case u.Spent+amount <= b.limit:
		d.spent = 0
	default:
		d.spent++
	}
	if d.last = at; d.spent >= looks {
		return errSpent
	}
	return nil
}

// lookAgain is how long what was read holds.
const lookAgain = 50 * time.Millisecond

// look returns what the counters say, and when that was asked. Those who ask at the same
// time ask once.
func (a *account) look(ctx context.Context) (Usage, time.Time, error) {
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
	case <-ctx.Done():
		return Usage{}, time.Time{}, context.Cause(ctx)
	}
	a.mu.Lock()
	u, at, b := a.known, a.asked, a.bound
	a.mu.Unlock()
	if time.Since(at) < lookAgain {
		return u, at, nil
	}
	at = time.Now()
	u, err := read(ctx, a.ledger.Counters, a.ledger.Names, b)
	if err != nil {
		return u, at, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.asked = u, at
	if !a.running { // nobody changes it meanwhile
		a.room = u.Left()
	}
	return u, at, nil
}
