package upstream

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

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
	fill := strings.NewReplacer("{what}", what, "{detail}", strings.TrimRight(detail, ". "))
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
	if e.health == healthBad && api.Kind == openrouter.KindStatus && (api.Relayed || api.Provider != "" || api.Availability != "") {
		e.health = healthModel
	}
	if api.Kind == openrouter.KindStatus && api.Status == 0 {
		e.log = classes[kindNoStatus].log
	}
	if api.Kind == openrouter.KindStatus && api.RetryAfter > 0 {
		e.log += " and asks to wait " + rounded(api.RetryAfter).String()
	}
	e.usage, e.cause, e.MayBeStored = errorUsage(api), err, api.MayBeStored
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
	case openrouter.KindUnfinished:
		return kindAttemptTimeout
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

// untilMidnight is the time until the free tier's day ends (UTC).
func untilMidnight(now time.Time) time.Duration {
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return tomorrow.Sub(now)
}
