package upstream

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go/timeout"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// classify returns the class of an error; an *Error is returned as it is. The
// order of its questions is the order of precedence.
func classify(err error) *Error {
	var e *Error
	var api *openrouter.Error
	k := kindUnknown
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrCancelled):
		k = kindCancelled
	case errors.Is(err, ErrDeadline):
		k = kindDeadline
	case errors.Is(err, ErrStopping):
		k = kindStopping
	case errors.Is(err, timeout.ErrExceeded):
		k = kindAttemptTimeout
	case errors.As(err, &api):
		return classifyCall(api, err)
	case errors.Is(err, context.Canceled):
		k = kindEnded
	}
	e = newError(k, 0)
	e.say("cancelled", err.Error()) // what is of kindEnded alone
	e.cause = err
	if errors.As(err, &api) {
		e.usage = errorUsage(api)
	}
	return e
}

// newError is an error of a kind that heals by what its class says.
func newError(k kind, wait time.Duration) *Error {
	c := classes[k]
	return &Error{kind: k, Code: c.code, Message: sentence(c.message), Heals: c.heals, Wait: wait, log: c.log, health: c.health, key: c.key}
}

// noKey is a call for which no key can be used before a time, because of a code.
func noKey(code events.Code, until, now time.Time) *Error {
	k := kindKeysLimited
	switch code { //nolint:exhaustive // the others are limits
	case events.Unauthorized:
		k = kindKeysRefused
	case events.InsufficientCredits:
		k = kindKeysSpent
	}
	e := newError(k, max(0, until.Sub(now)))
	e.say("", until.UTC().Format(time.RFC3339))
	return e
}

// say fills in what the texts of a class leave open.
func (e *Error) say(what, detail string) {
	fill := strings.NewReplacer("{what}", what, "{detail}", detail)
	e.Message, e.log = sentence(fill.Replace(e.Message)), fill.Replace(e.log)
}

// sentence ends a text with one full stop, whatever it ended with.
func sentence(text string) string { return strings.TrimRight(text, ". ") + "." }

// classifyCall classifies what the client says of a call.
func classifyCall(api *openrouter.Error, err error) *Error {
	k, what, detail := callKind(api.Kind), string(api.Kind), api.Message
	if api.Kind == openrouter.KindStatus {
		k, what = statusKind(api), "an error"
		if api.Status != 0 {
			what = strconv.Itoa(api.Status)
		}
	}
	e := newError(k, api.RetryAfter)
	if k == kindDailyLimit && e.Wait == 0 {
		e.Wait = untilMidnight(time.Now())
	}
	switch {
	case e.Heals >= Never:
	case api.Retryable:
		e.Heals = Soon
	case e.Heals == soonOrLater:
		e.Heals = Later
	default:
		e.Heals = Never
	}
	e.say(what, detail)
	e.affords = api.Affords()
	if e.health == healthBad && api.Kind == openrouter.KindStatus && (api.Relayed || api.Provider != "") {
		e.health = healthModel
	}
	if api.Kind == openrouter.KindStatus && api.Status == 0 {
		e.log = classes[kindNoStatus].log
	}
	if api.Kind == openrouter.KindStatus && api.RetryAfter > 0 {
		e.log += " and asks to wait " + rounded(api.RetryAfter).String()
	}
	e.usage, e.cause = errorUsage(api), err
	return e
}

// callKind is the kind of a call that ended without a status.
func callKind(k openrouter.Kind) kind {
	switch k {
	case openrouter.KindConnection:
		return kindConnection
	case openrouter.KindFirstToken:
		return kindFirstToken
	case openrouter.KindGap:
		return kindGap
	case openrouter.KindCallTimeout:
		return kindCallTimeout
	case openrouter.KindCut:
		return kindCut
	case openrouter.KindEmpty:
		return kindEmpty
	case openrouter.KindFinishError:
		return kindFinishError
	case openrouter.KindMalformed:
		return kindMalformed
	case openrouter.KindTooLarge:
		return kindTooLarge
	case openrouter.KindRequest:
		return kindBadRequest
	case openrouter.KindCancelled, openrouter.KindStatus:
	}
	return kindEnded
}

// statusKind is the kind of an error that OpenRouter answered with.
func statusKind(e *openrouter.Error) kind {
	switch {
	case e.Edge && e.Status != http.StatusRequestTimeout:
		return kindEdge
	case e.ContextLength():
		return kindContextLength
	case e.Moderation():
		return kindModeration
	case e.Affords() > 0:
		return kindTooDear
	case e.KeyLimit():
		return kindKeySpent
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return serverKind(e.Status)
	}
	switch e.Status {
	case 0:
		return kindNoStatus
	case http.StatusUnauthorized:
		if e.Relayed { // the provider's quarrel with OpenRouter, not with our key
			return kindRelayed401
		}
		return kindKeyRefused
	case http.StatusPaymentRequired:
		return paymentKind(e)
	case http.StatusForbidden:
		if e.Availability != "" { // region_restricted: no key opens that door
			return kindModelGone
		}
		return kindForbidden
	case http.StatusNotFound:
		return kindModelGone
	case http.StatusRequestEntityTooLarge:
		return kindRequestTooLarge
	case http.StatusTooManyRequests:
		return limitKind(e)
	}
	return requestKind(e)
}

func serverKind(status int) kind {
	switch status {
	case http.StatusRequestTimeout, http.StatusGatewayTimeout, 522, 524:
		return kindServerTimeout
	}
	return kindServerError
}

// paymentKind tells an empty account, where another key may help, from calls in
// flight that hold its budget, which end, and from a single call that is more
// than the whole budget: that says nothing about the key.
func paymentKind(e *openrouter.Error) kind {
	switch {
	case e.InFlightBudget():
		return kindBudgetInFlight
	case e.Reason == "weight_exceeds_budget":
		return kindBudgetTooSmall
	}
	return kindKeySpent
}

// limitKind tells a limit of ours, where the key must cool down, from that of a
// model, where the key goes on with the others, and from a provider that is busy
// and names no time, where a rest would not help.
func limitKind(e *openrouter.Error) kind {
	switch {
	case e.FreeTierDaily():
		return kindDailyLimit
	case e.ModelLimit() && e.RetryAfter > 0:
		return kindProviderLimited
	case e.ModelLimit():
		return kindProviderBusy
	case e.LimitSource == "openrouter_shared_capacity" && e.RetryAfter == 0:
		return kindCapacityShared
	}
	return kindKeyLimited
}

// requestKind is what OpenRouter has against the request itself, and what looks
// like it.
func requestKind(e *openrouter.Error) kind {
	switch {
	case e.Status < http.StatusBadRequest:
		return kindRedirect
	case e.Availability != "": // model_not_found, wrong_endpoint: a 400, but about the model
		return kindModelGone
	case e.Retryable:
		return kindOddRequest
	}
	return kindInvalidRequest
}

// untilMidnight is the time until the free tier's day ends (UTC).
func untilMidnight(now time.Time) time.Duration {
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return tomorrow.Sub(now)
}
