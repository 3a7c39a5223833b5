package service

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"

	"gemini-client/service/config"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// The policies' fixed numbers (design section 5).
const (
	maxAttempts      = 3
	firstBackoff     = 500 * time.Millisecond
	breakerCalls     = 20
	breakerShare     = 0.5
	breakerWindow    = 30 * time.Second
	breakerDelay     = 5 * time.Second
	breakerDelayMax  = time.Minute
	probes           = 3
	probeSuccesses   = 2
	probePollingTime = 250 * time.Millisecond
)

// policies calls OpenRouter with patience and restraint. From outside in:
// retry, circuit breaker (and the wait while it is open), key, time limit of
// one attempt; the request's deadline and cancellation are the context's. The
// executors are built once; a call only adds its context.
type policies struct {
	client  *openrouter.Client
	keys    *keys
	breaker circuitbreaker.CircuitBreaker[*openrouter.Completion]
	retry   failsafe.Executor[*openrouter.Completion]
	guard   failsafe.Executor[*openrouter.Completion] // the breaker
	limit   failsafe.Executor[*openrouter.Completion] // the attempt's time
	waitMax time.Duration
	opened  atomic.Int32 // how often in a row, for the breaker's delay
	tel     *telemetry.Telemetry
}

// reply is what a call ended with: an answer or an error, and what it took.
type reply struct {
	answer     *openrouter.Completion
	err        error
	attempts   int           // calls that were really made
	firstToken time.Duration // from the start to the first token; 0 if none came
}

func newPolicies(c *config.Config, client *openrouter.Client, tel *telemetry.Telemetry) *policies {
	p := &policies{
		client: client, waitMax: c.RetryWaitMax, tel: tel,
		keys: newKeys(c.APIKeys, c.KeysMaxPerMinute, time.Duration(c.KeysCooldownSeconds)*time.Second),
	}
	p.breaker = p.newBreaker()
	p.retry = failsafe.With(p.newRetry())
	p.guard = failsafe.With[*openrouter.Completion](p.breaker)
	p.limit = failsafe.With(timeout.New[*openrouter.Completion](c.CallTimeout))
	return p
}

// newRetry repeats what a short wait heals, unless that is not short enough.
// What a provider says may quote the prompt, and does not go into the log.
func (p *policies) newRetry() failsafe.Policy[*openrouter.Completion] {
	return retrypolicy.NewBuilder[*openrouter.Completion]().
		HandleIf(func(_ *openrouter.Completion, err error) bool {
			return err != nil && diagnose(err).heals == healsNow && !errors.As(err, new(*tooLateError))
		}).
		WithMaxAttempts(maxAttempts).
		WithDelayFunc(func(e failsafe.ExecutionAttempt[*openrouter.Completion]) time.Duration {
			return backoff(diagnose(e.LastError()), e.Attempts())
		}).
		OnRetryScheduled(func(e failsafe.ExecutionScheduledEvent[*openrouter.Completion]) {
			p.retried(e.Context(), e.LastError(), e.Attempts(), e.Delay)
		}).
		ReturnLastFailure().
		Build()
}

// backoff is how long to wait before the next attempt. A wait that was asked
// for is kept to the full. When the key has to rest, the pool does the waiting:
// it knows whether another key is free.
func backoff(f fault, attempt int) time.Duration {
	switch {
	case f.key != keyFine:
		return 0
	case f.wait > 0:
		return withJitter(f.wait)
	}
	d := firstBackoff << min(attempt-1, 6)
	return d/2 + rand.N(d) //nolint:gosec // spreads retries, no secret
}

func (p *policies) newBreaker() circuitbreaker.CircuitBreaker[*openrouter.Completion] {
	return circuitbreaker.NewBuilder[*openrouter.Completion]().
		HandleIf(func(_ *openrouter.Completion, err error) bool { return err != nil && p.unhealthy(err) }).
		WithFailureRateThreshold(breakerShare, breakerCalls, breakerWindow).
		WithSuccessThresholdRatio(probeSuccesses, probes).
		WithDelay(breakerDelay). // of an opening without a call
		WithDelayFunc(func(failsafe.ExecutionAttempt[*openrouter.Completion]) time.Duration {
			return min(breakerDelay<<min(p.opened.Add(1)-1, 8), breakerDelayMax)
		}).
		OnStateChanged(p.breakerChanged).
		Build()
}

// unhealthy tells the breaker's failures. A probe that we cancelled ourselves
// or that was not made says nothing good about OpenRouter, and failsafe would
// take it for a success.
func (p *policies) unhealthy(err error) bool {
	if ours(err) || errors.As(err, new(*noKeyError)) || errors.Is(err, circuitbreaker.ErrOpen) {
		return p.breaker.IsHalfOpen()
	}
	return diagnose(err).outage
}

// ours reports whether a call ended because we ended it.
func ours(err error) bool {
	return errors.Is(err, errCancelled) || errors.Is(err, errDeadline) || errors.Is(err, errStopping) || errors.Is(err, context.Canceled)
}

func (p *policies) breakerChanged(e circuitbreaker.StateChangedEvent) {
	ctx, log := e.Context(), p.tel.Logger
	switch e.NewState {
	case circuitbreaker.OpenState:
		log.WarnContext(ctx, "OpenRouter keeps failing: no requests are taken until it has recovered", "tried_again_in", p.breaker.RemainingDelay().Round(time.Second))
	case circuitbreaker.HalfOpenState:
		log.InfoContext(ctx, "trying OpenRouter again with a few calls")
	case circuitbreaker.ClosedState:
		p.opened.Store(0)
		log.InfoContext(ctx, "OpenRouter answers again")
	}
}

// state is the breaker's for people. An open one whose time is over lets the
// next call decide, though it changes its own state only when that comes.
func (p *policies) state() telemetry.BreakerState {
	switch {
	case p.breaker.IsClosed():
		return telemetry.BreakerClosed
	case p.breaker.RemainingDelay() > 0:
		return telemetry.BreakerOpen
	}
	return telemetry.BreakerHalfOpen
}

// hold returns how long no request should be taken, and why: 0 when work can
// be done.
func (p *policies) hold() (time.Duration, string) {
	if wait := p.breaker.RemainingDelay(); wait > 0 {
		return wait, "circuit breaker open"
	}
	if wait, code := p.keys.rest(); wait > 0 {
		return wait, "no usable API key (" + string(code) + ")"
	}
	return 0, ""
}

// call makes the call, with all its attempts. piece gets the answer as it is
// written. An answer that came is returned even if ctx ended meanwhile: it is
// paid for. The error knows ctx's cause, and what the last attempt was billed.
func (p *policies) call(ctx context.Context, r openrouter.Request, piece func(attempt int, text string)) reply {
	c := &calling{policies: p, request: r, piece: piece, start: time.Now()}
	_, err := p.retry.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[*openrouter.Completion]) (*openrouter.Completion, error) {
		return p.admitted(e.Context(), c.attempt)
	})
	if c.answer != nil {
		return c.reply
	}
	if errors.Is(err, c.last) {
		c.last = nil
	}
	c.err = errors.Join(context.Cause(ctx), err, c.last)
	return c.reply
}

// admitted makes an attempt as soon as the breaker lets it, and gives up at
// once if that is after the deadline. A refused attempt is not an attempt, and
// an open breaker only moves on when it is asked again.
func (p *policies) admitted(ctx context.Context, attempt func(context.Context) (*openrouter.Completion, error)) (*openrouter.Completion, error) {
	for {
		answer, err := p.guard.WithContext(ctx).Get(func() (*openrouter.Completion, error) {
			ended := false
			defer func() {
				if !ended && p.breaker.IsHalfOpen() { // a panic would keep the probe's place for good
					p.breaker.RecordFailure()
				}
			}()
			answer, err := attempt(ctx)
			ended = true
			return answer, err
		})
		if !errors.Is(err, circuitbreaker.ErrOpen) {
			return answer, err
		}
		wait := p.breaker.RemainingDelay()
		if deadline, ok := ctx.Deadline(); ok && wait > time.Until(deadline) {
			return nil, &breakerError{wait}
		}
		if err := sleep(ctx, wait+probePollingTime/2+rand.N(probePollingTime)); err != nil { //nolint:gosec // spreads the waiting, no secret
			return nil, err
		}
	}
}
