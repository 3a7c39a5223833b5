package openrouter

import (
	"context"
	"sync"
	"time"
)

// limitError is the cause a watch cancels with: the time limit that was exceeded.
type limitError string

const (
	errFirstToken limitError = "first token"
	errGap        limitError = "gap"
	errEnding     limitError = "ending" // for usage and draining, after the outcome is known
	errWhole      limitError = "whole"  // Config.Call
)

func (e limitError) Error() string { return string(e) }

// A watch ends a call's context when a limit is exceeded: that of the whole call, or the one that it is armed with beside that.
//
// A stream arms it with every chunk, so arming only notes when the limit is exceeded. The one timer there is looks when it fires, and
// goes on for what is left.
type watch struct {
	cancel context.CancelCauseFunc
	whole  time.Time // when the whole call's limit is exceeded; zero if it has none

	mu    sync.Mutex
	timer *time.Timer
	fires time.Time // when the timer does; zero while it stands
	limit limitError
	after time.Duration
	due   time.Time // when limit is exceeded; zero while it pauses
}

// startWatch returns a context for the call; the caller must call stop.
func startWatch(parent context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, &watch{cancel: cancel}
}

// within limits the whole call, from now on; a pause does not stop this limit. 0 is none.
func (w *watch) within(limit time.Duration) {
	if limit > 0 {
		w.whole = time.Now().Add(limit)
	}
}

// arm replaces the limit in force.
func (w *watch) arm(limit limitError, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit, w.after = limit, after
	w.begin()
}

// again arms the limit in force from now on.
func (w *watch) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit != "" {
		w.begin()
	}
}

// pause stops the limit in force until the next arm.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = time.Time{}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.due, w.whole = time.Time{}, time.Time{}
	w.cancel(nil)
}

// begin begins the limit in force. The caller holds the lock, as for the next ones.
func (w *watch) begin() {
	now := time.Now()
	w.due = now.Add(w.after)
	w.await(now)
}

// await has the timer fire at the earlier of the two limits, or before.
func (w *watch) await(now time.Time) {
	next, _ := w.next()
	if next.IsZero() || !w.fires.IsZero() && !next.Before(w.fires) {
		return
	}
	w.fires = next
	if w.timer == nil {
		w.timer = time.AfterFunc(next.Sub(now), w.fire)
		return
	}
	w.timer.Reset(next.Sub(now))
}

// next returns the limit that is exceeded first, and when; a zero time if none is.
func (w *watch) next() (time.Time, limitError) {
	if w.due.IsZero() || !w.whole.IsZero() && w.whole.Before(w.due) {
		return w.whole, errWhole
	}
	return w.due, w.limit
}

// fire ends the call if a limit is exceeded.
func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.fires = time.Time{}
	if next, limit := w.next(); !next.IsZero() && !now.Before(next) {
		w.cancel(limit)
		return
	}
	w.await(now)
}
