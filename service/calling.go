package service

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// calling is one call on its way through its attempts.
type calling struct {
	*policies
	reply
	request openrouter.Request
	piece   func(attempt int, text string)
	start   time.Time
	last    error   // of an attempt that was made
	refused *apiKey // that the last attempt failed with, because of it
}

// attempt is one call under one key.
func (c *calling) attempt(ctx context.Context) (*openrouter.Completion, error) {
	key, err := c.keys.acquire(ctx, c.patience(ctx), c.refused)
	if err != nil {
		return nil, err
	}
	defer c.keys.done(key, fault{}, false) // of a call that was not made, or panicked
	if c.breaker.IsOpen() {                // since the wait for the key began
		return nil, circuitbreaker.ErrOpen
	}
	c.attempts++
	heard := false
	answer, err := c.once(telemetry.WithAttempt(ctx, c.attempts), key.key.secret, func(text string) {
		if !heard {
			heard = true
			c.keys.works(key)
		}
		c.piece(c.attempts, text)
	})
	c.note(ctx, answer, err)
	if err != nil {
		c.last = err
		return nil, c.learn(ctx, key, err)
	}
	c.keys.done(key, fault{}, true)
	c.answer = answer
	return answer, nil
}

// note counts an attempt and what it cost, whatever comes of it.
func (c *calling) note(ctx context.Context, answer *openrouter.Completion, err error) {
	b := billOf(answer, err)
	if c.firstToken == 0 && !b.firstToken.IsZero() {
		c.firstToken = b.firstToken.Sub(c.start)
	}
	if b.usage != nil && b.usage.Cost != nil {
		c.tel.Instruments.Charged(ctx, c.request.Model, *b.usage.Cost)
	}
	if err != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	c.tel.Instruments.CallFinished(ctx, outcome(err), c.request.Model)
}

// outcome names the end of an attempt for spans and metrics: success, a failure
// code, or that the service was stopping, which is nobody's failure.
func outcome(err error) string {
	switch {
	case err == nil:
		return telemetry.OutcomeSuccess
	case errors.Is(err, errStopping):
		return "stopping"
	}
	return string(diagnose(err).code)
}

// learn tells the key pool, and marks an error that no retry in the process
// can heal in time: another key may, where the key was the matter.
func (c *calling) learn(ctx context.Context, key *lease, err error) error {
	f := diagnose(err)
	if rest := c.keys.done(key, f, false); rest > 0 {
		c.rested(ctx, key, err, rest)
	}
	wait := f.wait
	if c.refused = nil; f.key != keyFine {
		c.refused = key.key
		wait, _ = c.keys.rest()
	}
	if wait > c.patience(ctx) {
		return &tooLateError{err}
	}
	return err
}

// once is one attempt under its time limit. An answer that came is paid for,
// even if the limit passed in the same moment.
func (c *calling) once(ctx context.Context, key string, piece func(string)) (*openrouter.Completion, error) {
	var answer *openrouter.Completion
	_, err := c.limit.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[*openrouter.Completion]) (*openrouter.Completion, error) {
		done, err := c.client.Complete(e.Context(), key, c.request, piece)
		if err == nil {
			answer = &done
		}
		return answer, err
	})
	if answer != nil {
		return answer, nil
	}
	return nil, err
}

// tooLateError marks a fault whose wait is longer than calls wait in the
// process, or reaches beyond the request's deadline.
type tooLateError struct{ err error }

func (e *tooLateError) Error() string { return e.err.Error() }
func (e *tooLateError) Unwrap() error { return e.err }

// patience is how long a call may wait for a retry or a key.
func (p *policies) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(p.waitMax, time.Until(deadline))
	}
	return p.waitMax
}
