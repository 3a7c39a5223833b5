package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// repeat goes on after a first attempt that failed: the retry policy is given that one
// as its own first.
func (u *Caller) repeat(ctx context.Context, c *call, first error) error {
	_, err := u.retry.WithContext(withCall(ctx, c)).GetWithExecution(func(exec failsafe.Execution[answer]) (answer, error) {
		if exec.IsFirstAttempt() {
			return nil, first
		}
		return nil, u.withModel(exec.Context(), c)
	})
	return err
}

type callKey struct{}

// withCall lets the policy's listeners know the call.
func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// newRetry repeats an attempt whose failure a short wait heals, unless that
// wait is longer than a call may wait in the process.
func (u *Caller) newRetry() failsafe.Executor[answer] {
	return failsafe.With(retrypolicy.NewBuilder[answer]().
		HandleIf(func(_ answer, err error) bool {
			var e *Error
			return errors.As(err, &e) && e.Heals == Soon && !e.tooLong
		}).
		WithMaxAttempts(maxAttempts).
		WithDelayFunc(func(e failsafe.ExecutionAttempt[answer]) time.Duration {
			var failed *Error
			errors.As(e.LastError(), &failed)
			return backoff(failed, e.Attempts())
		}).
		OnRetryScheduled(func(e failsafe.ExecutionScheduledEvent[answer]) {
			var failed *Error
			errors.As(e.LastError(), &failed)
			u.logRetry(e.Context(), failed, e.Attempts(), e.Delay)
		}).
		ReturnLastFailure().
		Build())
}

// backoff is how long to wait before the next attempt. A wait that was asked
// for is kept to the full. When the key has to cool down, the pool does the
// waiting: it knows whether another key is free.
func backoff(e *Error, attempt int) time.Duration {
	switch {
	case e.key != keyFine, e.kind == kindFlexFallback:
		return 0
	case e.Wait > 0:
		return WithJitter(e.Wait)
	}
	d := firstBackoff << min(attempt-1, 6)
	return d/2 + rand.N(d) //nolint:gosec // spreads retries, no secret
}

// WithJitter adds up to a tenth to a wait and never shortens it: a wait that
// OpenRouter asked for is kept in full.
func WithJitter(wait time.Duration) time.Duration {
	if wait < 10 {
		return wait
	}
	return wait + rand.N(wait/10) //nolint:gosec // spreads retries, no secret
}
