package openrouter

import (
	"context"
	"time"
)

// limitError is the cause a watch cancels with: the time limit that was exceeded.
type limitError string

const (
	errFirstToken limitError = "first token"
	errGap        limitError = "gap"
	errEnding     limitError = "ending" // for usage and draining, after the outcome is known
)

func (e limitError) Error() string { return string(e) }

// A watch ends a call's context when the limit it is armed with is exceeded. One limit is armed at a time.
type watch struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  limitError
	after  time.Duration
}

// startWatch returns a context for the call; the caller must call stop.
func startWatch(parent context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, &watch{cancel: cancel}
}

// arm replaces the limit in force.
func (w *watch) arm(limit limitError, after time.Duration) {
	if w.timer != nil && w.limit == limit {
		w.after = after
		w.timer.Reset(after)
		return
	}
	w.pause()
	w.limit = limit
	w.after = after
	w.timer = time.AfterFunc(after, func() { w.cancel(limit) })
}

// pause stops the limit in force until the next arm.
func (w *watch) pause() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// again arms the limit in force from now on.
func (w *watch) again() {
	if w.timer != nil {
		w.timer.Reset(w.after)
	}
}

func (w *watch) stop() {
	w.pause()
	w.cancel(nil)
}
