package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/telemetry"
)

// newBreaker opens when OpenRouter fails, for longer each time its probes fail.
func (u *Caller) newBreaker() circuitbreaker.CircuitBreaker[answer] {
	return circuitbreaker.NewBuilder[answer]().
		HandleIf(func(_ answer, err error) bool { return err != nil && u.unhealthy(err) }).
		WithFailureRateThreshold(breakerShare, breakerCalls, breakerWindow).
		WithSuccessThresholdRatio(probeSuccesses, probes).
		WithDelay(breakerDelay). // of an opening without a call
		WithDelayFunc(func(failsafe.ExecutionAttempt[answer]) time.Duration {
			return openFor(&u.openings)
		}).
		OnStateChanged(u.breakerChanged).
		Build()
}

// openFor counts an opening in a row, and is for how long it is.
func openFor(openings *atomic.Int32) time.Duration {
	return min(breakerDelay<<min(openings.Add(1)-1, 8), breakerDelayMax)
}

// unhealthy tells the breaker's failures. What says nothing about OpenRouter,
// such as a call that we cancelled or never made, counts as a failure while the
// breaker is half-open: failsafe-go would take it for a successful probe.
func (u *Caller) unhealthy(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.health == healthUnknown {
		return u.breaker.IsHalfOpen()
	}
	return e.health == healthBad
}

// waitWhileOpen repeats what is inside it until the breaker lets it through. It
// gives up at once if that is after the deadline. A refused attempt is not an
// attempt. An open breaker only moves on when it is asked again, so the wait is
// for its remaining delay, not for its state.
func (u *Caller) waitWhileOpen(exec failsafe.Execution[answer], inner next) *result {
	ctx := exec.Context()
	callOf(ctx).wait(true)
	for {
		r := releasingProbe(u.breaker, exec, inner)
		if !errors.Is(r.Error, circuitbreaker.ErrOpen) {
			return r
		}
		wait := u.breaker.RemainingDelay()
		if deadline, ok := ctx.Deadline(); ok && wait > time.Until(deadline) {
			return failure(newError(kindBreakerOpen, wait))
		}
		if err := sleep(ctx, wait+probePolling/2+rand.N(probePolling)); err != nil { //nolint:gosec // spreads the waiting, no secret
			return failure(err)
		}
	}
}

// releasingProbe gives the place of a probe back that ends in a panic, which
// failsafe-go would keep for good.
func releasingProbe(breaker circuitbreaker.CircuitBreaker[answer], exec failsafe.Execution[answer], inner next) *result {
	ended := false
	defer func() {
		if !ended && breaker.IsHalfOpen() {
			breaker.RecordFailure()
		}
	}()
	r := inner(exec)
	ended = true
	return r
}

func (u *Caller) breakerChanged(e circuitbreaker.StateChangedEvent) {
	ctx, log := e.Context(), u.tel.Logger
	switch e.NewState {
	case circuitbreaker.OpenState:
		log.WarnContext(ctx, "OpenRouter keeps failing: no requests are taken until it has recovered", "tried_again_in", u.breaker.RemainingDelay().Round(time.Second))
	case circuitbreaker.HalfOpenState:
		log.InfoContext(ctx, "trying OpenRouter again with a few calls")
	case circuitbreaker.ClosedState:
		u.openings.Store(0)
		log.InfoContext(ctx, "OpenRouter answers again")
	}
}

func (u *Caller) breakerState() telemetry.BreakerState { return stateOf(u.breaker) }

// stateOf is a breaker's state for people. An open one whose time is over lets the
// next call decide, though it changes its own state only when that comes.
func stateOf(breaker circuitbreaker.CircuitBreaker[answer]) telemetry.BreakerState {
	switch {
	case breaker.IsClosed():
		return telemetry.BreakerClosed
	case breaker.RemainingDelay() > 0:
		return telemetry.BreakerOpen
	}
	return telemetry.BreakerHalfOpen
}

// sleep waits; it returns ctx's cause when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
