package service

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/timeout"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// healing says what can make a failed call succeed.
type healing int

const (
	healsNever healing = iota // the request or the configuration has to change
	healsNow                  // a short wait
	healsLater                // a long wait
)

// keyEffect says what a failure tells about the key that was used.
type keyEffect int

const (
	keyFine    keyEffect = iota
	keyRests             // it made too many calls: leave it alone for a while
	keyRefused           // OpenRouter does not know it
	keySpent             // its budget, or its account's, is used up
)

// fault is the class of an error: what the policies, the verdict and the key
// pool decide by. diagnose is the only place that makes one.
type fault struct {
	code   events.Code
	text   string        // a sentence for people
	heals  healing       // by what
	wait   time.Duration // that was asked for; 0 if none was
	outage bool          // counts against OpenRouter's health
	key    keyEffect
}

// Causes with which a call's context ends.
var (
	errCancelled = errors.New("the request was cancelled")
	errDeadline  = errors.New("the request's deadline has passed")
	errStopping  = errors.New("the service is stopping")
)

// breakerError is a call that the open breaker refused, for this long at least.
type breakerError struct{ wait time.Duration }

func (e *breakerError) Error() string { return circuitbreaker.ErrOpen.Error() }
func (e *breakerError) Unwrap() error { return circuitbreaker.ErrOpen }

// diagnose classifies the error of a call. The order of its questions is the
// order of precedence.
func diagnose(err error) fault {
	var api *openrouter.Error
	var noKey *noKeyError
	var refused *breakerError
	switch {
	case errors.Is(err, errCancelled):
		return fault{code: events.Cancelled, text: "The request was cancelled."}
	case errors.Is(err, errDeadline):
		return fault{code: events.DeadlineExceeded, text: "The request's deadline passed before there was an answer."}
	case errors.Is(err, errStopping): // it is given back; this is for the span
		return fault{code: events.Internal, text: "The service was stopping before there was an answer."}
	case errors.As(err, &noKey):
		return noKey.fault()
	case errors.Is(err, timeout.ErrExceeded):
		return fault{code: events.UpstreamTimeout, text: "OpenRouter did not finish the answer within CALL_TIMEOUT.", heals: healsNow, outage: true}
	case errors.As(err, &refused):
		return fault{code: events.UpstreamUnavailable, text: "OpenRouter has been failing and is left alone for a moment.", heals: healsLater, wait: refused.wait}
	case errors.As(err, &api):
		return diagnoseCall(api)
	}
	return fault{code: events.Internal, text: sentence("The service failed: " + err.Error()), heals: healsNever}
}

// sentence ends a text with one full stop, whatever it ended with.
func sentence(text string) string { return strings.TrimRight(text, ". ") + "." }

func diagnoseCall(e *openrouter.Error) fault {
	if e.Kind == openrouter.KindStatus {
		return diagnoseStatus(e)
	}
	f := fault{text: sentence(fmt.Sprintf("The call to OpenRouter failed (%s): %s", e.Kind, e.Message)), wait: e.RetryAfter, heals: healsNow}
	switch e.Kind {
	case openrouter.KindConnection:
		f.code, f.outage = events.UpstreamUnavailable, true
	case openrouter.KindFirstToken, openrouter.KindGap, openrouter.KindCallTimeout:
		f.code, f.outage = events.UpstreamTimeout, true
	case openrouter.KindCut:
		f.code, f.outage = events.UpstreamInvalidResponse, true
	case openrouter.KindEmpty, openrouter.KindFinishError, openrouter.KindMalformed:
		f.code = events.UpstreamInvalidResponse
	case openrouter.KindTooLarge:
		f.code, f.heals = events.PayloadTooLarge, healsNever
	case openrouter.KindRequest:
		f.code, f.heals = events.InvalidRequest, healsNever
	case openrouter.KindCancelled, openrouter.KindStatus:
		f.code, f.heals = events.Internal, healsNever
	}
	return f
}

// diagnoseStatus follows the reference's table of statuses (openrouter.md 4.2).
func diagnoseStatus(e *openrouter.Error) fault {
	answered := "an error"
	if e.Status != 0 {
		answered = strconv.Itoa(e.Status)
	}
	f := fault{text: sentence("OpenRouter answered " + answered + ": " + e.Message), wait: e.RetryAfter, heals: healsNever}
	if e.Retryable {
		f.heals = healsNow
	}
	switch {
	case e.ContextLength():
		f.code = events.ContextLengthExceeded
	case e.Moderation():
		f.code = events.ContentFiltered
	case e.KeyLimit():
		f.code, f.heals, f.key = events.InsufficientCredits, healsNow, keySpent
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return serverFault(f, e)
	default:
		return clientFault(f, e)
	}
	return f
}

// serverFault is OpenRouter's or a provider's own trouble. Where OpenRouter
// says that a retry does not help, a long wait still may.
func serverFault(f fault, e *openrouter.Error) fault {
	f.code, f.outage = events.UpstreamUnavailable, true
	if !e.Retryable {
		f.heals = healsLater
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusGatewayTimeout, 522, 524:
		f.code = events.UpstreamTimeout
	}
	return f
}

func clientFault(f fault, e *openrouter.Error) fault {
	switch e.Status {
	case http.StatusUnauthorized:
		f.code = events.Unauthorized
		if e.Relayed { // the provider's quarrel with OpenRouter, not with our key
			f.code, f.heals = events.UpstreamUnavailable, healsNow
			break
		}
		f.heals, f.key = healsNow, keyRefused // with another key, or with this one once more
	case http.StatusPaymentRequired:
		return paymentFault(f, e)
	case http.StatusForbidden:
		f.code = events.Unauthorized
		if e.Availability != "" { // region_restricted: no key opens that door
			f.code = events.ModelUnavailable
		}
	case http.StatusNotFound:
		f.code = events.ModelUnavailable
	case http.StatusRequestEntityTooLarge:
		f.code = events.PayloadTooLarge
	case http.StatusTooManyRequests:
		return limitFault(f, e)
	case 0:
		f.code = events.UpstreamInvalidResponse
	default:
		return requestFault(f, e)
	}
	return f
}

// requestFault is what OpenRouter has against the request itself, and what
// looks like it.
func requestFault(f fault, e *openrouter.Error) fault {
	f.code = events.InvalidRequest
	switch {
	case e.Status < http.StatusBadRequest: // a redirect: the base URL or a proxy is wrong
		f.code, f.heals = events.UpstreamUnavailable, healsLater
	case e.Availability != "": // model_not_found, wrong_endpoint: a 400, but about the model
		f.code = events.ModelUnavailable
	case e.Retryable:
		f.code = events.UpstreamInvalidResponse
	}
	return f
}

// paymentFault tells an empty account, where another key may help, from calls
// under way that hold its budget, which end, and from a single call that is
// more than the whole budget: that says nothing about the key, and no retry
// makes it cheaper.
func paymentFault(f fault, e *openrouter.Error) fault {
	switch {
	case e.InFlightBudget():
		f.code, f.key = events.RateLimited, keyRests
	case e.Reason == "weight_exceeds_budget":
		f.code, f.heals = events.InsufficientCredits, healsNever
	default:
		f.code, f.heals, f.key = events.InsufficientCredits, healsNow, keySpent
	}
	return f
}

// limitFault tells a limit of ours, where the key must rest, from a provider
// that is busy and names no time, where resting the key would not help. The
// free tier's daily limit is about free models only: the key goes on with the
// others.
func limitFault(f fault, e *openrouter.Error) fault {
	f.code = events.RateLimited
	if f.heals == healsNever { // a limit passes, if not soon
		f.heals = healsLater
	}
	switch {
	case e.FreeTierDaily():
		if f.wait == 0 {
			f.wait = untilMidnight(time.Now())
		}
	case f.wait > 0 || !ofProvider(e) && e.LimitSource != "openrouter_shared_capacity":
		f.key = keyRests
	}
	return f
}

// ofProvider reports whether it is a provider behind OpenRouter that has reached
// a limit.
func ofProvider(e *openrouter.Error) bool {
	return e.Relayed || e.LimitSource == "upstream_provider_shared_pool"
}

// untilMidnight is the time until the free tier's day ends (UTC).
func untilMidnight(now time.Time) time.Duration {
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return tomorrow.Sub(now)
}
