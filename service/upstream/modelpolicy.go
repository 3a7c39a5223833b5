package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// withModel is the policy that chooses the model to ask: the request's own, or the
// first of its fallbacks where that one is sick or rests with every key. Where that
// is true of all of them, the call waits in its slot, if that is not too long and
// few others do, or gives up at once: its request is rescheduled, and the slot is
// free for requests that name another model.
func (u *Caller) withModel(exec failsafe.Execution[answer], inner func() *result) *result {
	ctx := exec.Context()
	c := callOf(ctx)
	giveUp := time.Now().Add(u.patience(ctx))
	for {
		r, w := u.askFirst(ctx, c, inner)
		if r != nil {
			return r
		}
		if err := u.awaitModel(ctx, c, w, giveUp); err != nil {
			return failure(err)
		}
	}
}

// modelWait is for how long a model cannot be asked, and why.
type modelWait struct {
	wait   time.Duration
	why    kind
	spread time.Duration // over which those that are rescheduled come back
}

// askFirst makes the call with the first of its models that can be asked now. If
// there is none it returns when there may be one.
func (u *Caller) askFirst(ctx context.Context, c *call, inner func() *result) (*result, modelWait) {
	var soonest modelWait
	for i := 0; i == 0 || i < len(c.models()); i++ {
		w := u.modelRests(c, i)
		if w.wait == 0 {
			c.ask(i)
			one := u.models.of(c.request.Model)
			if r := one.run(ctx, c.suspect, inner); r != nil {
				return r, soonest
			}
			w = modelWait{probePolling, kindModelSick, one.spread()} // others probe it
		}
		if i == 0 || w.wait < soonest.wait {
			soonest = w
		}
	}
	return nil, soonest
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
// limited needs no seat where no other model is in use: it waits as for any other
// retry. Errors: an *Error of a call that must come later; ctx's cause.
func (u *Caller) awaitModel(ctx context.Context, c *call, w modelWait, giveUp time.Time) error {
	if time.Now().Add(w.wait).After(giveUp) {
		return w.later(ctx)
	}
	c.wait(false) // for nothing that it could probe
	if c.attempts == 0 || w.why == kindModelSick || u.models.othersInUse(c.request.Model) {
		if !u.takeSeat() {
			return w.later(ctx)
		}
		defer func() { <-u.seats }()
	}
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

// usableIn returns how long until a key can be used for one of the call's models;
// 0 if one can be used now.
func (u *Caller) usableIn(c *call) time.Duration {
	var least time.Duration
	for i := range c.models() {
		wait, _ := u.keys.wait(c.need(i))
		if i == 0 || wait < least {
			least = wait
		}
	}
	return least
}

// models are those that may answer, in the order in which they are asked.
func (c *call) models() []string {
	if c.chain == nil {
		c.asked, c.chain = c.request, modelsOf(c.request)
	}
	return c.chain
}

func modelsOf(r openrouter.Request) []string {
	list := r.Models
	if own, ok := r.Extra["models"]; ok && json.Unmarshal(own, &list) != nil {
		list = nil // OpenRouter will say what is wrong with it
	}
	all := []string{r.Model}
	for _, model := range list {
		if !slices.Contains(all, model) {
			all = append(all, model)
		}
	}
	return all
}

// need is what the call needs a key for, with one of its models.
func (c *call) need(i int) need {
	model := c.models()[i]
	return need{model: model, tokens: cmp.Or(c.asked.MaxTokens, math.MaxInt), avoid: c.refused}
}

// at is the place of the model that is asked.
func (c *call) at() int { return max(0, slices.Index(c.models(), c.request.Model)) }

// ask makes the call ask for one of its models first, and only for those behind
// it.
func (c *call) ask(i int) {
	if c.request = c.asked; i == 0 {
		return
	}
	c.request.Model, c.request.Models = c.chain[i], nil
	if rest := c.chain[i:]; len(rest) > 1 {
		c.request.Models = rest
	}
	c.request.Extra = maps.Clone(c.asked.Extra)
	delete(c.request.Extra, "models")
}
