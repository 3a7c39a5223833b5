package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// call is one request on its way through its attempts, which come one after the
// other. Its context carries it to the policies, which all calls share.
type call struct {
	caller  *Caller
	request openrouter.Request // as it is sent in the next attempt
	piece   func(attempt int, text string)
	start   time.Time

	asked openrouter.Request // as it came
	chain []string           // the models that may answer; nil until somebody asks

	waits      bool          // see wait
	suspect    bool          // its answer has not come in time before
	roomWait   time.Duration // of the last attempt, for memory
	timeouts   int           // attempts whose answer did not come in time
	attempts   int           // that were really made
	billed     events.Bill   // of all of them
	firstToken time.Duration // from the start to the first token of any attempt; 0 if none came
	answer     answer
	last       *Error  // of the last attempt
	lease      *lease  // of the attempt that is made
	refused    *apiKey // that the last attempt failed with, because of it
}

// wait counts the call among those that wait to probe OpenRouter or a key, or do, or
// not any more.
func (c *call) wait(waits bool) {
	switch {
	case waits && !c.waits:
		c.caller.waiting.Add(1)
	case !waits && c.waits:
		c.caller.waiting.Add(-1)
	}
	c.waits = waits
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// ready returns why a call whose turn has come must not begin: since it chose its
// key, the breaker has opened or the key was set aside.
func (c *call) ready() error {
	switch {
	case c.caller.breaker.IsOpen():
		return circuitbreaker.ErrOpen
	case !c.caller.keys.usable(c.lease):
		return errKeyUnusable
	}
	return nil
}

// attempt is what the policies surround: one attempt under the policies of its
// key. Errors: an *Error of an attempt that was made; of one that was not,
// circuitbreaker.ErrOpen, errKeyUnusable, ctx's cause.
func (u *Caller) attempt(ctx context.Context, c *call) (answer, error) {
	if err := c.wanted(ctx); err != nil {
		return nil, err
	}
	made, began := false, time.Now()
	_, err := c.lease.key.policies.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[answer]) (answer, error) {
		made, began = true, time.Now()
		c.wait(len(c.lease.probes) > 0 || !u.breaker.IsClosed()) // a probe is one until it ends
		return u.complete(e.Context(), c)
	})
	if made {
		c.wait(false)
	}
	switch {
	case c.answer != nil: // it is paid for, even if a time limit passed in the same moment
		u.models.hasAnswered(c.request.Model)
		u.note(ctx, c, answerUsage(c.answer), telemetry.OutcomeSuccess)
		return c.answer, nil
	case !made:
		return nil, err
	}
	c.last = c.excuse(classify(err))
	u.diagnose(ctx, c, c.last, began)
	if c.last.kind.timedOut() {
		c.timedOut()
	}
	u.note(ctx, c, c.last.usage, c.last.outcome())
	return nil, c.last
}

// timedOut counts an attempt whose answer did not come in time. It may have been
// billed, so it is repeated once in a delivery.
func (c *call) timedOut() {
	c.suspect = true
	if c.timeouts++; c.timeouts > timeoutRetries {
		c.last.Heals = Later
	}
}

// complete makes the HTTP call.
func (u *Caller) complete(ctx context.Context, c *call) (answer, error) {
	c.attempts++
	attempt, begun := c.attempts, false
	done, err := u.client.Complete(telemetry.WithAttempt(c.withRoom(ctx), attempt), c.lease.key.secret, c.request, func(text string) {
		u.hear()
		if !begun {
			begun = true
			u.keys.works(c.lease)
			u.models.hasAnswered(c.request.Model)
		}
		c.piece(attempt, text)
	})
	if err != nil {
		return nil, err
	}
	c.answer = &done
	return c.answer, nil
}

// note counts an attempt and what it cost, whatever came of it.
func (u *Caller) note(ctx context.Context, c *call, usage Usage, outcome string) {
	if c.firstToken == 0 && !usage.firstToken.IsZero() {
		c.firstToken = usage.firstToken.Sub(c.start)
	}
	c.billed = c.billed.Plus(usage.Bill)
	if usage.Cost != nil {
		u.tel.Instruments.Charged(ctx, c.request.Model, *usage.Cost)
	}
	u.tel.Instruments.CallFinished(ctx, outcome, c.request.Model)
}

// outcome names a failure for spans and metrics: its code, or that the service
// was stopping, which is no failure.
func (e *Error) outcome() string {
	if errors.Is(e, ErrStopping) {
		return "stopping"
	}
	return string(e.Code)
}
