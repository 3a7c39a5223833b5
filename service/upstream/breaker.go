package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/common"
	"github.com/failsafe-go/failsafe-go/policy"

	"gemini-client/telemetry"
)

// breaker is failsafe-go's circuit breaker, asked and told by hand: an execution of
// failsafe-go's costs some forty objects, and a call that succeeds needs none.
type breaker struct {
	circuitbreaker.CircuitBreaker[answer]
	failures failsafe.Executor[answer]
	openings atomic.Int32 // in a row
}

// newBreaker returns a breaker that opens for longer each time its probes fail.
// unhealthy tells its failures.
func newBreaker(unhealthy func(*breaker, error) bool, changed func(*breaker, circuitbreaker.StateChangedEvent)) *breaker {
	b := &breaker{}
	b.CircuitBreaker = circuitbreaker.NewBuilder[answer]().
		HandleIf(func(_ answer, err error) bool { return err != nil && unhealthy(b, err) }).
		WithFailureRateThreshold(breakerShare, breakerCalls, breakerWindow).
		WithSuccessThresholdRatio(probeSuccesses, probes).
		WithDelay(breakerDelay). // of an opening without a call
		WithDelayFunc(func(failsafe.ExecutionAttempt[answer]) time.Duration {
			return min(breakerDelay<<min(b.openings.Add(1)-1, 8), breakerDelayMax)
		}).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
			changed(b, e)
			if e.NewState == circuitbreaker.ClosedState {
				b.openings.Store(0)
			}
		}).
		Build()
	b.failures = failsafe.With[answer](&recorder{executor: b.ToExecutor(nil).(policy.Executor[answer])})
	return b
}

// run makes a call if the breaker lets it, and tells it how the call ended: a panic
// gives the place of a probe back. It returns circuitbreaker.ErrOpen if the breaker
// does not let it.
func (b *breaker) run(ctx context.Context, c *call, inside step) error {
	if !b.TryAcquirePermit() {
		return circuitbreaker.ErrOpen
	}
	ended := false
	defer b.giveBack(&ended)
	err := inside(c.caller, ctx, c)
	ended = true
	if err == nil {
		b.RecordSuccess()
		return nil
	}
	_, _ = b.failures.WithContext(ctx).Get(func() (answer, error) { return nil, err })
	return err
}

func (b *breaker) giveBack(ended *bool) {
	if !*ended && b.IsHalfOpen() {
		b.RecordFailure()
	}
}

// recorder is the policy that only tells a breaker how a call ended. Its own methods for
// that have no execution, without which it does not ask its DelayFunc.
type recorder struct {
	policy.BaseExecutor[answer]
	executor policy.Executor[answer]
}

// ToExecutor implements failsafe.Policy.
func (r *recorder) ToExecutor(answer) any { return r }

// Apply implements policy.Executor.
func (r *recorder) Apply(inner func(failsafe.Execution[answer]) *common.PolicyResult[answer]) func(failsafe.Execution[answer]) *common.PolicyResult[answer] {
	return func(exec failsafe.Execution[answer]) *common.PolicyResult[answer] {
		return r.executor.PostExecute(exec.(policy.ExecutionInternal[answer]), inner(exec))
	}
}

// unhealthy tells the failures of OpenRouter's breaker. What says nothing about
// OpenRouter, such as a call that we cancelled or never made, counts as a failure while
// the breaker is half-open: failsafe-go would take it for a successful probe.
func unhealthy(b *breaker, err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.health == healthUnknown {
		return b.IsHalfOpen()
	}
	return e.health == healthBad
}

// waitWhileOpen repeats what is inside it until OpenRouter's breaker lets it through.
// It gives up at once if that is after the deadline. A refused attempt is not an
// attempt. An open breaker only moves on when it is asked again, so the wait is
// for its remaining delay, not for its state.
func (u *Caller) waitWhileOpen(ctx context.Context, c *call) error {
	c.wait(true)
	for {
		err := u.breaker.run(ctx, c, (*Caller).withKey)
		if !errors.Is(err, circuitbreaker.ErrOpen) {
			return err
		}
		wait := u.breaker.RemainingDelay()
		if deadline, ok := ctx.Deadline(); ok && wait > time.Until(deadline) {
			return newError(kindBreakerOpen, wait)
		}
		if err := sleep(ctx, wait+probePolling/2+rand.N(probePolling)); err != nil { //nolint:gosec // spreads the waiting, no secret
			return err
		}
	}
}

func (u *Caller) breakerChanged(b *breaker, e circuitbreaker.StateChangedEvent) {
	ctx, log := e.Context(), u.tel.Logger
	switch e.NewState {
	case circuitbreaker.OpenState:
		log.WarnContext(ctx, "OpenRouter keeps failing: no requests are taken until it has recovered", "tried_again_in", b.RemainingDelay().Round(time.Second))
	case circuitbreaker.HalfOpenState:
		log.InfoContext(ctx, "trying OpenRouter again with a few calls")
	case circuitbreaker.ClosedState:
		log.InfoContext(ctx, "OpenRouter answers again")
	}
}

func (u *Caller) breakerState() telemetry.BreakerState { return stateOf(u.breaker) }

// stateOf is a breaker's state for people. An open one whose time is over lets the
// next call decide, though it changes its own state only when that comes.
func stateOf(breaker *breaker) telemetry.BreakerState {
	switch {
	case breaker.IsClosed():
		return telemetry.BreakerClosed
	case breaker.RemainingDelay() > 0:
		return telemetry.BreakerOpen
	}
	return telemetry.BreakerHalfOpen
}

// sleep waits; it returns ctx's cause when ctx ends first, or has ended.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
