package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/timeout"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// What people on call read about calls that failed: sentences that say what
// happened and what the service does next. They are made of what is known, not
// of a provider's words, which may quote the prompt.

// happened says what went wrong with an attempt.
func happened(err error) string {
	var api *openrouter.Error
	if errors.Is(err, timeout.ErrExceeded) {
		return "the answer was not complete within CALL_TIMEOUT"
	}
	if !errors.As(err, &api) {
		return err.Error()
	}
	switch api.Kind {
	case openrouter.KindStatus:
		return answered(api)
	case openrouter.KindConnection:
		return "OpenRouter could not be reached (" + api.Message + ")" // in our own words, see openrouter.Quiet
	case openrouter.KindFirstToken:
		return "no token came within FIRST_TOKEN_TIMEOUT"
	case openrouter.KindGap:
		return "the answer stopped for longer than TOKEN_GAP_TIMEOUT"
	case openrouter.KindCallTimeout:
		return "the time for the call was over"
	case openrouter.KindCut:
		return "the answer broke off in the middle"
	case openrouter.KindEmpty:
		return "the answer was empty"
	case openrouter.KindFinishError:
		return "the provider gave up in the middle of the answer"
	case openrouter.KindMalformed:
		return "OpenRouter, or a proxy on the way, answered something that is not an answer"
	case openrouter.KindTooLarge:
		return "the answer was larger than the service accepts"
	case openrouter.KindRequest, openrouter.KindCancelled:
	}
	return "the call was not made (" + string(api.Kind) + ")"
}

// answered says what an error status means, and the wait that came with it.
func answered(e *openrouter.Error) string {
	text := "OpenRouter answered with an error"
	if e.Status != 0 {
		text = fmt.Sprintf("%s (%d)", meaning(e), e.Status)
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" and asks to wait %s", rounded(e.RetryAfter))
	}
	return text
}

func meaning(e *openrouter.Error) string {
	f := diagnoseStatus(e)
	switch {
	case f.code == events.ContextLengthExceeded:
		return "the prompt does not fit the model"
	case f.code == events.ContentFiltered:
		return "a filter refused the prompt"
	case f.code == events.ModelUnavailable:
		return "OpenRouter does not offer the model"
	case f.key == keyRefused:
		return "OpenRouter does not accept the key"
	case f.key == keySpent:
		return "the credit of the key or its account is used up"
	case e.Status == http.StatusPaymentRequired:
		return "the budget of the key is taken by calls under way, or too small for this one"
	case f.code == events.RateLimited && ofProvider(e):
		return "the provider behind OpenRouter is at its limit"
	case f.code == events.RateLimited:
		return "OpenRouter limits our calls"
	case f.code == events.UpstreamTimeout:
		return "OpenRouter gave up waiting for the provider"
	case f.code == events.UpstreamUnavailable:
		return "OpenRouter or the provider behind it is failing"
	}
	return "OpenRouter refused the call"
}

// wayOut says what a person can do about a failure; "" where there is nothing.
func wayOut(code events.Code) string {
	const replay = ", then: gemini-client deadletters replay --code "
	switch code { //nolint:exhaustive // the others need nobody
	case events.ModelUnavailable:
		return "set OPENROUTER_MODEL for requests that name no model, OPENROUTER_FALLBACK_MODELS for those that name this one, both within MODELS_ALLOW; start the service anew" + replay + string(code)
	case events.Unauthorized:
		return "put a valid key (https://openrouter.ai/settings/keys) into OPENROUTER_API_KEYS_FILE" + replay + string(code)
	case events.InsufficientCredits:
		return "add credits (https://openrouter.ai/settings/credits) or raise the key's limit" + replay + string(code)
	case events.RateLimited, events.UpstreamUnavailable, events.UpstreamTimeout:
		return "when it is over: gemini-client deadletters replay --code " + string(code)
	}
	return ""
}

// retried writes the line of an attempt that is about to be repeated.
func (p *policies) retried(ctx context.Context, err error, attempt int, wait time.Duration) {
	f := diagnose(err)
	next := "the call is repeated in " + rounded(wait).String()
	if f.key != keyFine { // the pool does the waiting
		wait, _ = p.keys.rest()
		next = "the call is repeated at once, with another key if one is free"
		if wait > 0 {
			next = "the call is repeated with the first key that is free, in " + rounded(wait).String()
		}
	}
	p.tel.Instruments.CallRetried(ctx, attempt, string(f.code), wait)
	p.tel.Logger.InfoContext(ctx, happened(err)+": "+next, "code", f.code, "attempt", attempt, "wait", rounded(wait))
}

// rested writes the line of a key that is left alone from now on.
func (p *policies) rested(ctx context.Context, l *lease, err error, rest time.Duration) {
	f := diagnose(err)
	line := happened(err) + ": the key rests for " + rounded(rest).String()
	if f.key == keyRests { // it passes by itself
		p.tel.Logger.InfoContext(ctx, line, "code", f.code, "key", "…"+l.key.end())
		return
	}
	p.tel.Logger.WarnContext(ctx, line, "code", f.code, "key", "…"+l.key.end(), "way_out", wayOut(f.code))
}

// rounded makes a duration short enough to read.
func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}
