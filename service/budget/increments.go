package budget

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// An increment that failed is tried again after againFirst, and at last every againMost.
const (
	againFirst = 20 * time.Millisecond
	againMost  = time.Second
)

// countableAgain is when it is looked again whether there are counters.
const countableAgain = 5 * time.Second

func isCounted(err error) bool { return errors.Is(err, ErrCounted) }

// errDoubt is an increment of which nobody knows any more whether it was counted.
var errDoubt = errors.New("nobody knows whether the increment was counted")

// take adds to a total and returns what it is then, or more. Errors: ErrUncountable, the
// ledger's end; after which it may be counted.
func (l *Ledger) take(counter string, by int64) (total int64, err error) {
	begun := time.Now()
	total, err = l.add(counter, by, func(err error, maybe bool) bool {
		return !maybe && time.Since(begun) > patience/2 && errors.Is(err, ErrUncountable) && errors.Is(l.recount(), ErrUncountable)
	})
	for again := againFirst; isCounted(err) && l.ctx.Err() == nil; again = min(2*again, againMost) {
		if now, asked := l.Counters.Add(l.ctx, counter, 0, ""); asked == nil {
			return now, nil
		}
		l.pause(again)
	}
	return total, err
}

// raise adds to a total, and drop lowers what is held: again, where it is in doubt.
func (l *Ledger) raise(counter string, by int64) { _, _ = l.add(counter, by, never) }
func (l *Ledger) drop(counter string, by int64)  { _, _ = l.add(counter, -by, never) }

func never(error, bool) bool { return false }

// lower lowers a total: not again, where it is in doubt.
func (l *Ledger) lower(counter string, by int64) { _, _ = l.add(counter, -by, l.forgotten()) }

// keep adds to what is held: not again, where it is in doubt. It returns whether it is
// counted.
func (l *Ledger) keep(counter string, by int64) bool {
	_, err := l.add(counter, by, l.forgotten())
	return err == nil || isCounted(err)
}

// forgotten gives up an increment whose id the server may have forgotten.
func (l *Ledger) forgotten() func(error, bool) bool {
	begun := time.Now()
	return func(_ error, maybe bool) bool { return maybe && time.Since(begun) > IDsKept/2 }
}

// add repeats an increment under its id until it is known to be counted, the ledger ends,
// or it is given up, of which is asked with the error and whether it may be counted.
// Errors: ErrCounted, errDoubt, what gave it up.
func (l *Ledger) add(counter string, by int64, gives func(err error, maybe bool) bool) (int64, error) {
	id, maybe := rand.Text(), false
	for again := againFirst; ; again = min(2*again, againMost) {
		total, err := l.Counters.Add(l.ctx, counter, by, id)
		switch {
		case err == nil, isCounted(err):
			return total, err
		case !errors.Is(err, ErrUncountable):
			maybe = true
		}
		switch {
		case l.ctx.Err() != nil:
			return 0, context.Cause(l.ctx)
		case !gives(err, maybe):
			l.pause(again)
		case maybe:
			return 0, errDoubt
		default:
			return 0, err
		}
	}
}

// pause waits; less if the ledger ends.
func (l *Ledger) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

// ready is what is known of the counters.
type ready struct {
	mu    sync.Mutex
	asked time.Time // zero: nobody has asked
	err   error
}

// countable returns whether there are counters, as far as is known. Errors:
// ErrUncountable, and others that say nothing.
func (l *Ledger) countable() error {
	r := &l.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked.IsZero() && (r.err == nil || time.Since(r.asked) < countableAgain) {
		return r.err
	}
	err := l.Counters.Ready(l.ctx)
	if err != nil && !errors.Is(err, ErrUncountable) {
		return err
	}
	r.asked, r.err = time.Now(), err
	l.say(err)
	return err
}

// recount asks again whether there are counters.
func (l *Ledger) recount() error {
	l.ready.mu.Lock()
	if l.ready.err == nil {
		l.ready.asked = time.Time{}
	}
	l.ready.mu.Unlock()
	return l.countable()
}

// say tells people once that nothing can be counted, and that it can again.
func (l *Ledger) say(err error) {
	l.mu.Lock()
	before := l.silent
	l.silent = err != nil
	l.mu.Unlock()
	switch {
	case err != nil && !before:
		l.Log.ErrorContext(l.ctx, "what is spent cannot be counted: requests under a budget are not called for until it can", "error", err,
			"way_out", "run `gemini-client provision` with an admin's credentials, and give the service's user its rights (deploy/README.md)")
	case err == nil && before:
		l.Log.InfoContext(l.ctx, "what is spent can be counted again")
	}
}
