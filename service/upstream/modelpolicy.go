package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// withModel is the policy that chooses the model to ask: the request's own, or the
// first of its fallbacks where that one rests with every key. Where all of them
// rest, the call waits in its slot, if that is not too long and few others do, or
// gives up at once: its request is rescheduled, and the slot is free for requests
// that name another model.
func (u *Caller) withModel(exec failsafe.Execution[answer], inner func() *result) *result {
	ctx := exec.Context()
	c := callOf(ctx)
	giveUp := time.Now().Add(u.patience(ctx))
	for {
		wait, why := u.choose(c)
		if wait == 0 {
			return inner()
		}
		if err := u.awaitModel(ctx, c, modelWait{wait, why}, giveUp); err != nil {
			return failure(err)
		}
	}
}

// modelWait is for how long no model of a request can be asked, and why.
type modelWait struct {
	wait time.Duration
	why  kind
}

// choose makes the call ask the first of its models that can be asked now, or
// returns how long until there may be one, and why.
func (u *Caller) choose(c *call) (soonest time.Duration, because kind) {
	for i := 0; i == 0 || i < len(c.models()); i++ {
		wait, why := u.modelRests(c, i)
		if wait == 0 {
			c.ask(i)
			return 0, kindUnknown
		}
		if soonest == 0 || wait < soonest {
			soonest, because = wait, why
		}
	}
	return soonest, because
}

// modelRests returns for how long a model of a call is left alone with every key,
// and why; 0 if it is not.
func (u *Caller) modelRests(c *call, i int) (time.Duration, kind) {
	wait, code := u.keys.modelWait(c.need(i))
	if code == events.InsufficientCredits {
		return wait, kindModelDear
	}
	return wait, kindModelLimited
}

// awaitModel waits in the slot until a model may be asked. A call that was made
// already may wait as long as for any other retry; of the new ones only a few may
// at a time, or they would take the slots of requests for other models. Errors: an
// *Error of a call that must come later; ctx's cause.
func (u *Caller) awaitModel(ctx context.Context, c *call, w modelWait, giveUp time.Time) error {
	now := time.Now()
	if now.Add(w.wait).After(giveUp) || c.attempts == 0 && !u.takeSeat() {
		e := newError(w.why, WithJitter(max(w.wait, modelLater)))
		e.say("", now.Add(e.Wait).UTC().Format(time.RFC3339))
		return e
	}
	if c.attempts == 0 {
		defer func() { <-u.seats }()
	}
	return sleep(ctx, w.wait)
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
