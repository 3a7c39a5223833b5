package budget

import (
	"context"
	"errors"
	"slices"
	"time"
)

// waiter waits for room in an account.
type waiter struct {
	part *part
	told chan answer // holds one
}

// answer is what becomes of a waiter: a part without an error, or nothing where there is
// no room.
type answer struct {
	admitted bool
	err      error
}

// tooMany bounds those who are reserved for together.
const tooMany = 1024

// ask waits for a word on whether there is room for an amount now. Errors: ErrUncountable,
// ctx's cause.
func (a *account) ask(ctx context.Context, amount int64) (*part, error) {
	w := &waiter{part: &part{account: a, amount: amount}, told: make(chan answer, 1)}
	a.mu.Lock()
	a.waiting = append(a.waiting, w)
	a.run()
	running := a.running
	a.mu.Unlock()
	if !running {
		return nil, errClosed
	}
	select {
	case got := <-w.told:
		if !got.admitted {
			return nil, got.err
		}
		return w.part, nil
	case <-ctx.Done():
		a.leave(w)
		return nil, context.Cause(ctx)
	case <-a.ledger.ctx.Done():
		a.leave(w)
		return nil, errClosed
	}
}

var errClosed = errors.New("the ledger is closed")

// leave takes a waiter out of the line. One that was admitted in this moment gives back
// what it has.
func (a *account) leave(w *waiter) {
	a.mu.Lock()
	if i := slices.Index(a.waiting, w); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	a.ledger.goes(func() {
		select {
		case got := <-w.told:
			if got.admitted {
				a.settle(w.part, 0)
			}
		case <-a.ledger.ctx.Done():
		}
	})
}

// next takes those out of the line who are asked for together: as many as there is room
// for as far as is known. Those before them for whom there is none are told so, and not
// asked for: what is asked for is in the total, where others see it as spent.
func (a *account) next() (batch []*waiter, sum int64) {
	a.measure()
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < len(a.waiting) && a.waiting[n].part.amount > a.room {
		n++
	}
	tell(a.waiting[:n], answer{})
	a.waiting = slices.Delete(a.waiting, 0, n)
	for n = 0; n < len(a.waiting) && n < tooMany && sum+a.waiting[n].part.amount <= a.room; n++ {
		sum += a.waiting[n].part.amount
	}
	batch = slices.Clone(a.waiting[:n])
	a.waiting = slices.Delete(a.waiting, 0, n)
	return batch, sum
}

// measurePatience is how long is looked for room before it is asked for unseen.
const measurePatience = 500 * time.Millisecond

// measure looks whether there is room for the first of those who wait, unless it is known
// to be there. Where nobody can look, it may be there.
func (a *account) measure() {
	a.mu.Lock()
	b, amount := a.bound, int64(0)
	if len(a.waiting) > 0 {
		amount = a.waiting[0].part.amount
	}
	known := amount <= a.room
	a.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(a.ledger.ctx, measurePatience)
	defer cancel()
	u, err := read(ctx, a.ledger.Counters, a.ledger.Names, b)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.bound.limit != b.limit: // look again
	case err != nil:
		a.room = amount
	default:
		a.room = u.Left()
	}
}

// admit reserves for some of those who wait, as far as there is room.
func (a *account) admit() {
	if !a.waits() {
		return
	}
	switch err := a.ledger.countable(); {
	case errors.Is(err, ErrUncountable):
		a.turnAway(err)
		return
	case err != nil: // whoever waits may wait on
		a.ledger.pause(roomAgain)
		return
	}
	batch, sum := a.next()
	if len(batch) == 0 {
		return
	}
	total, err := a.ledger.take(a.total(), sum)
	if err != nil {
		tell(batch, answer{err: err})
		return
	}
	a.mu.Lock()
	room := a.bound.limit - (total - sum)
	a.mu.Unlock()
	n, taken := 0, int64(0)
	for n < len(batch) && taken+batch[n].part.amount <= room {
		taken += batch[n].part.amount
		n++
	}
	if taken < sum {
		a.ledger.lower(a.total(), sum-taken)
	}
	if taken > 0 && !a.ledger.keep(a.held(), taken) {
		n = 0 // the total keeps it: nobody knows what is held
	}
	a.mu.Lock()
	a.room = max(0, room-taken)
	for _, w := range batch[:n] {
		a.open[w.part] = struct{}{}
	}
	if n > 0 {
		a.hold = hold{}
	}
	a.mu.Unlock()
	tell(batch[:n], answer{admitted: true})
	tell(batch[n:], answer{})
}

func (a *account) waits() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting) > 0
}

// turnAway has nobody wait any more.
func (a *account) turnAway(err error) {
	a.mu.Lock()
	all := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	tell(all, answer{err: err})
}

func tell(waiters []*waiter, what answer) {
	for _, w := range waiters {
		w.told <- what
	}
}

const (
	// patience is for how long a call waits for those under way, or for counters that do
	// not answer.
	patience = 2 * time.Second
	// roomAgain is how soon it is asked again whether there is room.
	roomAgain = 100 * time.Millisecond
)

// reserve reserves an amount. Errors: an *Error, ctx's cause.
func (a *account) reserve(ctx context.Context, b bound, amount int64) (*part, error) {
	waits, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	for {
		if r := a.refuses(b, amount); r != nil {
			return nil, r
		}
		p, err := a.ask(waits, amount)
		switch {
		case p != nil:
			return p, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil:
			err = a.judge(waits, b, amount)
		}
		if err != nil {
			return nil, a.refuse(b, amount, err)
		}
		select {
		case <-a.freed:
		case <-time.After(roomAgain):
		case <-waits.Done():
		}
	}
}

// errPatience ends the wait for room.
var errPatience = errors.New("there is no room yet")
