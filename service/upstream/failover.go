package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/service/openrouter"
)

// askModel makes the call with one of its models; circuitbreaker.ErrOpen if the model's
// breaker does not let it. Where OpenRouter says that another model of the list that was
// sent is gone, or does not say which, it is made again, without that one or without a
// list. looked says that the call was made to see whether the model is there.
func (u *Caller) askModel(ctx context.Context, c *call, i int) (looked bool, err error) {
	name, made := c.models()[i], c.attempts
	looks := u.retired.lookAt(name, c)
	defer func() { u.endQuestion(ctx, c, name, err); c.without, c.prefer = nil, nil }()
	if looks {
		c.looks = name
		c.without, c.prefer = u.retired.askedWith(name)
		defer func() {
			c.looks, looked = "", c.attempts > made
			u.retired.looked(name, c, looked && !c.fromCache() && context.Cause(ctx) == nil)
		}()
	}
	for {
		if u.ask(c, i); looks {
			c.request.FirstToken = u.lookTime(ctx, c)
		}
		err = u.models.of(name).run(ctx, c)
		if e := errorOf(err); e == nil || !u.goneBeside(ctx, c, name, e) {
			return false, err
		}
	}
}

// goneBeside notes the model that OpenRouter says is gone, if an error means that. It
// reports whether the call is to be made again: it is not the one that was asked.
func (u *Caller) goneBeside(ctx context.Context, c *call, name string, e *Error) bool {
	if !u.isGone(c, e) {
		return false
	}
	e.Message = withoutEcho(e.Message, c.event) // it goes into the log, and to requests of others
	switch about := c.about(e); about {
	case name:
		if c.pass(name, e); u.asksOtherKey(ctx, c, name, e) {
			return true
		}
		u.retired.retire(ctx, name, u.instead(c), e, c)
		return false
	case "":
		c.alone = true
		u.retired.sendNoList(name)
	default:
		c.pass(about, e)
		u.retired.retire(ctx, about, name, e, c)
	}
	return true
}

// lookTime is how long a look waits for the first token: half of the time that the call
// has, at most, so that the next model can still answer.
func (u *Caller) lookTime(ctx context.Context, c *call) time.Duration {
	limit := cmp.Or(c.asked.FirstToken, u.config.FirstTokenTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		if half := max(time.Until(deadline)/2, 1); limit == 0 || half < limit {
			return half
		}
	}
	return limit
}

// askGone asks the model that the request named though it is gone: no other is left,
// so that OpenRouter refuses the request and not our memory of what it said.
func (u *Caller) askGone(ctx context.Context, c *call) (modelWait, error) {
	if w := u.modelRests(c, 0); w.wait > 0 {
		return w, nil
	}
	name := c.models()[0]
	c.looks = name
	defer func() { c.looks = "" }()
	_, err := u.askModel(ctx, c, 0)
	switch {
	case errors.Is(err, circuitbreaker.ErrOpen):
		return u.probed(name), nil
	case c.goesOn(ctx, name, err, false):
		return modelWait{}, u.nothingLeft(c)
	}
	return modelWait{}, err
}

// errorOf returns the error of a call that failed.
func errorOf(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	errors.As(err, &e)
	return e
}

// isGone reports whether an error means that a model is gone for every request. Where the
// request's own rules may be the reason, OpenRouter has to say that it is the model, and
// which one: a preset has models of its own.
func (u *Caller) isGone(c *call, e *Error) bool {
	var api *openrouter.Error
	if !errors.As(e.cause, &api) {
		return false
	}
	switch e.kind { //nolint:exhaustive // the others are not about the model
	case kindModelGone:
		if e.Heals == Never {
			return !c.constrained() || saysGone(api) && slices.ContainsFunc(modelsOf(&c.request), func(name string) bool { return api.Model == name || api.Names(name) })
		}
	case kindModelAway, kindForbidden, kindOddRequest, kindInvalidRequest:
	default:
		return false
	}
	return u.pastExpiration(c.request.Model) && !api.Relayed && api.Names(c.request.Model)
}

// saysGone reports whether an error says more than that no endpoint is left.
func saysGone(api *openrouter.Error) bool {
	return api.Availability != "no_endpoints" && (api.Availability != "" || api.Status != http.StatusNotFound)
}

// constrained reports whether the request has rules of its own that exclude endpoints.
func (c *call) constrained() bool {
	if _, preset := c.asked.Extra["preset"]; preset || strings.Contains(c.request.Model, "@") {
		return true // nobody here knows its rules
	}
	var provider map[string]json.RawMessage
	if json.Unmarshal(c.asked.Extra["provider"], &provider) != nil {
		return false
	}
	for _, name := range []string{"only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr", "enforce_distillable_text", "quantizations", "max_price"} {
		if _, there := provider[name]; there {
			return true
		}
	}
	return false
}

// about returns the model that an error is about: the one that was asked, or the one
// of the list that the message names; "" if it names none of several.
func (c *call) about(e *Error) string {
	var api *openrouter.Error
	list := slices.DeleteFunc(slices.Clone(c.request.Models), func(m string) bool { return m == c.request.Model })
	if len(list) == 0 || !errors.As(e.cause, &api) {
		return c.request.Model
	}
	for _, model := range append([]string{c.request.Model}, list...) {
		if api.Model == model || api.Names(model) {
			return model
		}
	}
	return ""
}

// goesOn reports whether a call goes on at once with its next model after a failure:
// this one is gone or away, or was only looked at.
func (c *call) goesOn(ctx context.Context, name string, err error, looked bool) bool {
	e := errorOf(err)
	if e == nil || context.Cause(ctx) != nil {
		return false
	}
	if looked || e.kind == kindModelAway || e.kind == kindModelGone {
		c.pass(name, e)
	}
	return c.passed[name] != nil
}

// pass notes that a call does not ask one of its models any more.
func (c *call) pass(name string, e *Error) {
	if c.passed == nil {
		c.passed = map[string]*Error{}
	}
	c.passed[name] = e
}

// again forgets the models that a short wait may have healed, for the next attempt.
func (c *call) again() {
	for name, e := range c.passed {
		if e.Heals == Soon {
			delete(c.passed, name)
		}
	}
}

// instead returns the model that a call asks next; "" if there is none.
func (u *Caller) instead(c *call) string {
	for _, name := range c.models() {
		if c.passed[name] == nil && u.retired.standing(name, c) == nil {
			return name
		}
	}
	return ""
}

// ask makes the call ask for one of its models first, and only for those behind it.
// The list that is sent names no model that is gone: whether OpenRouter passes over
// them or refuses the list is not known.
func (u *Caller) ask(c *call, i int) {
	c.request = c.asked
	c.request.Model, c.request.Models = c.chain[i], nil
	if c.alone || c.looks == c.request.Model || u.retired.sentAlone(c.request.Model) {
		return
	}
	gone := func(name string) bool {
		return name != c.request.Model && (c.passed[name] != nil || u.retired.standing(name, c) != nil)
	}
	if i == 0 && !slices.ContainsFunc(c.chain, gone) {
		c.request.Models = c.asked.Models
		return
	}
	if rest := slices.DeleteFunc(slices.Clone(c.chain[i:]), gone); len(rest) > 1 {
		c.request.Models = rest
	}
}
