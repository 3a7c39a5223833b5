package upstream

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// withModel is the policy that chooses the model to ask: the request's own, or the
// first of its fallbacks where that one is gone, is sick or rests with every key. Where that
// is true of all of them, the call waits in its slot, if that is not too long and
// few others do, or gives up at once: its request is rescheduled, and the slot is
// free for requests that name another model.
func (u *Caller) withModel(ctx context.Context, c *call) error {
	c.again()
	giveUp := time.Now().Add(u.patience(ctx))
	for {
		w, err := u.askFirst(ctx, c)
		if w.wait == 0 {
			return err
		}
		if err := u.awaitModel(ctx, c, w, giveUp); err != nil {
			return err
		}
	}
}

// modelWait is for how long a model cannot be asked, and why; 0 if it was asked.
type modelWait struct {
	wait   time.Duration
	why    kind
	spread time.Duration // over which those that are rescheduled come back
}

// askFirst makes the call with the first of its models that can be asked now, and
// goes on with the next, at once, where OpenRouter says that one is gone. If there is
// none it returns when there may be one, or the error of a call that none can answer.
func (u *Caller) askFirst(ctx context.Context, c *call) (modelWait, error) {
	var soonest modelWait
	for i, name := range c.models() {
		if c.passed[name] != nil || u.retired.standing(name, c) != nil {
			continue
		}
		w := u.modelRests(c, i)
		if w.wait == 0 {
			looked, err := u.askModel(ctx, c, i)
			switch {
			case errors.Is(err, circuitbreaker.ErrOpen):
				w = u.probed(name)
			case c.goesOn(ctx, name, err, looked):
				continue
			default:
				return modelWait{}, err
			}
		}
		if soonest.wait == 0 || w.wait < soonest.wait {
			soonest = w
		}
	}
	switch {
	case soonest.wait > 0:
		return soonest, nil
	case len(c.passed) == 0: // others were told that all are gone, and this call was not
		return u.askGone(ctx, c)
	}
	return modelWait{}, u.nothingLeft(c)
}

// probed is the wait for a model that others probe.
func (u *Caller) probed(name string) modelWait {
	return modelWait{probePolling, kindModelSick, u.models.of(name).spread()}
}

// modelRests returns for how long a model of a call is left alone: it is sick, or
// rests with every key.
func (u *Caller) modelRests(c *call, i int) modelWait {
	one := u.models.of(c.models()[i])
	if wait := one.breaker.RemainingDelay(); wait > 0 {
		return modelWait{wait, kindModelSick, one.spread()}
	}
	wait, code := u.keys.modelWait(c.need(i))
	w := modelWait{wait, kindModelLimited, wait / 10}
	if code == events.InsufficientCredits {
		w.why = kindModelDear
	}
	return w
}

// awaitModel waits in the slot until a model may be asked. Only a few calls may at a
// time, or they would take the slots of requests for other models. A call that was
// limited needs no seat where no other models than its own are in use: it waits as for
// any other retry. Errors: an *Error of a call that must come later; ctx's cause.
func (u *Caller) awaitModel(ctx context.Context, c *call, w modelWait, giveUp time.Time) error {
	if time.Now().Add(w.wait).After(giveUp) {
		return w.later(ctx)
	}
	c.wait(false) // for nothing that it could probe
	if c.attempts == 0 || w.why == kindModelSick || u.models.othersInUse(c.models()) {
		if !u.takeSeat() {
			return w.later(ctx)
		}
		defer func() { <-u.seats }()
	}
	c.arrive() // it does not come to a limit soon: others may
	return sleep(ctx, w.wait)
}

// later is the error of a call whose request must come again. A deadline is not
// missed for the sake of the spread.
func (w modelWait) later(ctx context.Context) *Error {
	wait := max(w.wait, modelLater)
	if w.spread > 0 {
		wait += rand.N(w.spread) //nolint:gosec // spreads them, no secret
	}
	if deadline, ok := ctx.Deadline(); ok && wait >= time.Until(deadline) {
		wait = w.wait
	}
	e := newError(w.why, wait)
	e.say("", time.Now().Add(wait).UTC().Format(time.RFC3339))
	return e
}

func (u *Caller) takeSeat() bool {
	select {
	case u.seats <- struct{}{}:
		return true
	default:
		return false
	}
}

// usableIn returns how long until a key can be used for one of the models that the
// call may still ask; 0 if one can be used now.
func (u *Caller) usableIn(c *call) (least time.Duration) {
	first := true
	for i, name := range c.models() {
		if c.passed[name] != nil || u.retired.standing(name, c) != nil {
			continue
		}
		if wait, _ := u.keys.wait(c.need(i)); first || wait < least {
			least, first = wait, false
		}
	}
	return least
}

// models are those that may answer, in the order in which they are asked.
func (c *call) models() []string {
	if c.chain == nil {
		c.asked, c.chain = c.request, modelsOf(&c.request)
	}
	return c.chain
}

func modelsOf(r *openrouter.Request) []string {
	all := []string{r.Model}
	for _, model := range r.Models {
		if !slices.Contains(all, model) {
			all = append(all, model)
		}
	}
	return all
}

// need is what the call needs a key for, with one of its models.
func (c *call) need(i int) need {
	model := c.models()[i]
	if c.prompt == 0 && c.caller.keys.limited.Load() {
		c.prompt = promptBytes(c.asked)
	}
	return need{model: model, tokens: cmp.Or(c.asked.MaxTokens, math.MaxInt), prompt: c.prompt, avoid: c.refused, without: c.without, prefer: c.prefer, body: c.body}
}

// at is the place of the model that is asked.
func (c *call) at() int { return max(0, slices.Index(c.models(), c.request.Model)) }
