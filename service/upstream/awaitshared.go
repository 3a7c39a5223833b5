package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gemini-client/events"
	"gemini-client/service/limits"
)

// wants is what a call takes of the limits that hold for all workers; nil if none is for
// it.
func (u *Caller) wants(c *call) []limits.Want {
	s := u.shared
	if s == nil || !s.some() {
		return nil
	}
	wants := append(s.ofModel(s.ofTenant(nil, c.event.Tenant), c.request.Model), c.lease.key.shared...)
	c.estimate = estimate{}
	for i, w := range wants {
		if w.Limiter.Unit == unitTokens {
			c.estimate.tokens = cmp.Or(c.estimate.tokens, s.noted(c.tokens()))
			wants[i].Units = c.estimate.tokens
			c.estimate.limiters = append(c.estimate.limiters, w.Limiter)
		}
	}
	return wants
}

// awaitShared makes the attempt when its turn has come with all of these limits. One that
// would wait for longer than a call waits in the process comes later. So does one that
// would wait for longer than a moment for its tenant or its model, if others do already:
// they would take the slots of the others.
func (u *Caller) awaitShared(ctx context.Context, c *call, wants []limits.Want) error {
	leave := func() {}
	ask := limits.Ask{Wants: wants, Within: u.patience(ctx), Joining: c.arrive, Back: c.back}
	if slices.ContainsFunc(wants, ofModel) {
		c.arrive() // it may wait for its model, while the tenant's requests for others go on
	}
	if u.standsAside(wants) {
		if u.takeSeat() {
			leave = sync.OnceFunc(func() { <-u.seats })
			defer leave()
		} else {
			ask.Within = min(ask.Within, seatAfter)
		}
	}
	ask.Ready = func() error {
		leave()
		return c.ready()
	}
	before, begun := c.attempts, false
	_, err := u.shared.policy.WithContext(context.WithValue(ctx, askKey{}, ask)).Get(func() (answer, error) {
		begun, c.estimate.began = true, time.Now()
		return nil, u.inTurn(ctx, c)
	})
	switch exceeded := (*limits.ExceededError)(nil); {
	case begun && c.attempts == before:
		c.estimate.correct(0)
	case errors.As(err, &exceeded):
		err = c.limitReached(exceeded)
	}
	c.lease.leaveLine()
	return err
}

// nextInQueue is after how long a request is the next of its queue again that its limits
// had no room for.
const nextInQueue = 2 * time.Second

// back is after how long a call comes again for whose limit its queue waits; 0 if none does:
// of a model no queue knows, and what was called for goes through the retries.
func (c *call) back(of limits.Name) time.Duration {
	if c.queue == nil || !c.queue.Waits || c.attempts > 0 || of.Kind == limitModel {
		return 0
	}
	return nextInQueue
}

// ofModel reports whether a limit is a model's, of which no queue knows.
func ofModel(w limits.Want) bool { return w.Limiter.Kind == limitModel }

type askKey struct{}

// askOf is what the policy asks of the limits for a call.
func askOf(ctx context.Context) limits.Ask { return ctx.Value(askKey{}).(limits.Ask) }

// standsAside reports whether a call waits for longer than a moment for what is not its
// key's: its tenant or its model.
func (u *Caller) standsAside(wants []limits.Want) bool {
	return slices.ContainsFunc(wants, func(w limits.Want) bool {
		return w.Limiter.Kind != limitKey && w.Limiter.Wait() > seatAfter
	})
}

// limitReached is the error of a call that comes later because of a limit.
func (c *call) limitReached(e *limits.ExceededError) *Error {
	reached := newError(kindLimitReached, e.Wait)
	reached.say(nameOf(e.Limit), time.Now().Add(e.Wait).UTC().Format(time.RFC3339))
	reached.GoesBack, reached.cause = c.back(e.Limit) > 0, e
	return reached
}

// nameOf says for people what a limit is of. Keys have no names.
func nameOf(l limits.Name) string {
	if l.Kind == limitKey {
		return l.Unit + " a minute of its API keys"
	}
	return fmt.Sprintf("%s a minute of %s %s", l.Unit, l.Kind, l.Of)
}

// Tokens of a request that has not been answered are estimated. Nobody counts those of
// images and documents without their provider, so what may have some counts as
// mediaTokens, whatever its size is: an image is 258 tokens for Gemini and up to 1,600
// elsewhere, a page of a document 258.
const (
	estimatedBytes = 4 // of a prompt, a token
	mediaTokens    = 2000
)

// tokens estimates what an attempt takes: its prompt, and all that the answer may have.
func (c *call) tokens() int64 {
	c.models() // notes the request as it came
	prompt := mediaTokens
	if bytes := promptBytes(c.asked); bytes > 1 {
		prompt = bytes / estimatedBytes
	}
	return int64(prompt + cmp.Or(c.asked.MaxTokens, events.DefaultParameters().MaxOutputTokens))
}

// noted takes an estimate into the average.
func (s *shared) noted(tokens int64) int64 {
	before := s.tokens.Load()
	s.tokens.Store(before + (tokens-before)/8) // one that is overtaken is not missed
	return tokens
}

// estimate is what an attempt was taken to need of limits of tokens.
type estimate struct {
	tokens   int64
	began    time.Time
	limiters []*limits.Limiter
}

// settle makes up the difference to what was used. Where that is not known, the estimate
// stays.
func (e *estimate) settle(usage Usage) {
	if usage.Usage != nil {
		e.correct(int64(usage.Usage.TotalTokens))
	}
}

// failed gives all of it back where the attempt surely took nothing.
func (e *estimate) failed(err error) {
	if len(e.limiters) == 0 {
		return
	}
	if usage := failedUsage(err); usage.Usage == nil && usage.Cost != nil && *usage.Cost == 0 {
		e.correct(0)
	}
}

func (e *estimate) correct(used int64) {
	for _, l := range e.limiters {
		l.Settle(e.tokens, used, time.Since(e.began))
	}
	e.limiters = nil
}
