package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// call is one request on its way through its attempts, which come one after the
// other.
type call struct {
	caller  *Caller
	request openrouter.Request // as it is sent in the next attempt
	event   *events.Request    // that it answers
	piece   func(attempt int, text string)
	start   time.Time

	asked   openrouter.Request // as it came
	sent    openrouter.Request // as the model of the attempt takes it
	chain   []string           // the models that may answer; nil until somebody asks
	ownList bool               // the list of models is the request's own
	prompt  int                // bytes of its texts; 0 until somebody asks

	body      []byte            // hash of the request's body, while the response cache is on; else nil
	fallsBack bool              // to the default tier, where flex has no capacity
	passed    map[string]*Error // of these, the ones that are not asked any more, and why
	looks     string            // the model that is asked alone, to see whether it is there
	alone     bool              // no list is sent: OpenRouter did not say which of it is gone
	without   []*apiKey         // that were told that the model is gone: another one is preferred
	prefer    *apiKey           // with which another model answered for the one that is looked at
	questions bool              // other keys are asked about it

	waits      bool          // see wait
	suspect    bool          // its answer has not come in time before
	roomWait   time.Duration // of the last attempt, for memory
	timeouts   int           // attempts whose answer did not come in time
	attempts   int           // that were really made
	began      time.Time     // when the last one began
	billed     events.Bill   // of all of them
	firstToken time.Duration // from the start to the first token of any attempt; 0 if none came
	answer     answer
	reply      Reply
	last       *Error              // of the last attempt
	lease      lease               // of the attempt that is made
	queue      *Queue              // that its request was taken from; nil: it does not matter
	estimate   estimate            // of the tokens that the attempt takes
	costs      int64               // at most, of the attempt that is made; 0 until that is known
	reserved   *budget.Reservation // of the attempt that is made; nil where there is no budget
	refused    *apiKey             // that the last attempt failed with, because of it

	span *telemetry.ChatSpan
	left chan Reply // of a call that a cancellation left behind: what becomes of the request; nil if there is none
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

// ready returns why a call whose turn has come must not begin: since it chose its
// key, the breaker has opened, the key was set aside or the model is gone.
func (c *call) ready() error {
	retired := c.caller.retired.standing(c.request.Model, c)
	switch {
	case c.caller.breaker.IsOpen():
		return circuitbreaker.ErrOpen
	case retired != nil:
		return retired
	case !c.caller.keys.usable(&c.lease):
		return errKeyUnusable
	}
	return nil
}

// attempt makes one attempt and judges how it went. Errors: an *Error of an attempt that
// was made; of one that was not, circuitbreaker.ErrOpen, errKeyUnusable, what OpenRouter
// said of a model that is gone, ctx's cause.
func (u *Caller) attempt(ctx context.Context, c *call) error {
	if err := c.wanted(ctx); err != nil {
		return err
	}
	before := c.attempts
	err := u.awaitTurn(ctx, c)
	if c.attempts == before {
		return err
	}
	c.wait(false)
	return u.judge(ctx, c, err)
}

// judge notes what came of an attempt that was made.
func (u *Caller) judge(ctx context.Context, c *call, err error) error {
	if err == nil { // it is paid for, even if a time limit passed in the same moment
		u.models.hasAnswered(c.request.Model)
		u.served(ctx, c)
		u.note(ctx, c, answerUsage(c.answer), telemetry.OutcomeSuccess)
		if c.cacheOn() {
			u.tel.Instruments.CacheLookedUp(ctx, c.answer.Cached)
		}
		return nil
	}
	c.last = c.shed(c.excuse(classify(err)))
	u.diagnose(ctx, c, c.last)
	if c.last.kind.timedOut() {
		c.timedOut()
	}
	c.estimate.failed(err)
	u.note(ctx, c, c.last.usage, c.last.outcome())
	return c.last
}

// served notes which model answered: the one that was asked, or another one of the
// list that was sent. An answer that OpenRouter has kept shows nothing of now.
func (u *Caller) served(ctx context.Context, c *call) {
	if c.answer.Cached {
		return
	}
	if sent := c.request.Model; sameModel(sent, c.answer.Model) {
		u.retired.answered(ctx, sent, c.began)
	} else if len(c.request.Models) > 0 {
		u.retired.doubt(sent, c.lease.key)
	}
}

// timedOut counts an attempt whose answer did not come in time. It may have been
// billed, so it is repeated once in a delivery.
func (c *call) timedOut() {
	c.suspect = true
	if c.timeouts++; c.timeouts > timeoutRetries {
		c.last.Heals = Later
	}
}

// exchange makes the HTTP call.
func (u *Caller) exchange(ctx context.Context, c *call) error {
	c.attempts, c.began = c.attempts+1, time.Now()
	c.wait(len(c.lease.probes) > 0 || !u.breaker.IsClosed()) // a probe is one until it ends
	attempt, begun := c.attempts, false
	done, err := u.calling(c.dress(ctx), c, func(text string) {
		u.hear()
		if !begun {
			begun = true
			u.keys.works(&c.lease)
			u.models.hasAnswered(c.request.Model)
		}
		c.piece(attempt, text)
	})
	if err != nil {
		return err
	}
	c.answer = done
	return nil
}

// dress makes the request of an attempt, and its context.
func (c *call) dress(ctx context.Context) context.Context {
	c.request.CacheClear = c.clearsCache()
	ctx = telemetry.WithAttempt(c.withRoom(ctx), telemetry.Attempt{Number: c.attempts, Model: c.request.Model})
	c.caller.fit(ctx, c)
	c.request.Models = c.sent.Models // what is said of a list is about this one
	return ctx
}

// note counts an attempt and what it cost, whatever came of it.
func (u *Caller) note(ctx context.Context, c *call, usage Usage, outcome string) {
	if c.firstToken == 0 && !usage.firstToken.IsZero() {
		c.firstToken = usage.firstToken.Sub(c.start)
	}
	usage.Key = c.lease.key.end()
	c.billed = c.billed.Plus(usage.Bill)
	c.estimate.settle(usage)
	if usage.Cost != nil {
		u.tel.Instruments.Charged(ctx, c.event.Tenant, c.request.Model, *usage.Cost)
		u.keys.spend(c.lease.key, *usage.Cost)
	}
	if t := usage.Usage; t != nil {
		u.tel.Instruments.TokensUsed(ctx, c.event.Tenant, t.PromptTokens, t.CompletionTokens)
	}
	u.tel.Instruments.CallFinished(ctx, c.event.Tenant, outcome, c.request.Model)
	u.tel.Instruments.KeyCalled(ctx, c.lease.key.end(), outcome)
}

// outcome names a failure for spans and metrics: its code, or that the service
// was stopping, which is no failure.
func (e *Error) outcome() string {
	if errors.Is(e, ErrStopping) {
		return "stopping"
	}
	return string(e.Code)
}
