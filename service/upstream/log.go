package upstream

import (
	"cmp"
	"context"
	"time"

	"gemini-client/events"
)

// What people on call read about attempts that failed: what happened, by the
// class of the error, and what is done next. It is made of what is known, not of
// a provider's words, which may quote the prompt.

const replay = ", then: gemini-client deadletters replay --code "

// WayOut says what a person can do about a failure; "" where there is nothing.
func WayOut(code events.Code) string {
	switch code { //nolint:exhaustive // the others need no action
	case events.ModelUnavailable:
		return "set OPENROUTER_MODEL for requests that name no model, OPENROUTER_FALLBACK_MODELS for those that name this one (with MODEL_FALLBACK=always), both within MODELS_ALLOW; start the service anew" + replay + string(code)
	case events.Unauthorized:
		return "put a valid key (https://openrouter.ai/settings/keys) into OPENROUTER_API_KEYS_FILE" + replay + string(code)
	case events.InsufficientCredits:
		return "add credits (https://openrouter.ai/settings/credits) or raise the key's limit" + replay + string(code)
	case events.BudgetExceeded:
		return "wait for the end of the period, or raise the budget (gemini-client tenants set, or BUDGET); gemini-client usage shows it"
	case events.RateLimited, events.UpstreamUnavailable, events.UpstreamTimeout:
		return "when it is over: gemini-client deadletters replay --code " + string(code)
	}
	return ""
}

// WayOut says what a person can do about the failure, as [WayOut] does of its code.
func (e *Error) WayOut() string {
	own := waysOut[e.kind]
	if own == "" || !e.Code.Deadletter() {
		return cmp.Or(own, WayOut(e.Code))
	}
	return own + replay + string(e.Code)
}

// logRetry writes the line of an attempt that is about to be repeated.
func (u *Caller) logRetry(ctx context.Context, e *Error, attempt int, wait time.Duration) {
	next := "the call is repeated in " + rounded(wait).String()
	if e.key != keyFine { // the pool does the waiting
		wait = u.usableIn(callOf(ctx))
		next = "the call is repeated at once, with another key if one is free"
		if wait > 0 {
			next = "the call is repeated with the first key that is free, in " + rounded(wait).String()
		}
	}
	u.tel.Instruments.CallRetried(ctx, attempt, string(e.Code), wait)
	u.tel.Logger.InfoContext(ctx, e.log+": "+next, "code", e.Code, "attempt", attempt, "wait", rounded(wait))
}

// logCooldown writes the line of a key that is left alone from now on, or of a
// model that is with this key.
func (u *Caller) logCooldown(ctx context.Context, l *lease, e *Error, cools time.Duration) {
	line, attrs := ": the key cools down for ", []any{"code", e.Code, "key", "…" + l.key.end()}
	switch e.key { //nolint:exhaustive // the others are about the key
	case keyModelLimited:
		line, attrs = ": the model rests with this key for ", append(attrs, "model", l.need.model)
	case keyDear:
		line, attrs = ": longer answers of the model rest with this key for ", append(attrs, "model", l.need.model, "tokens", e.affords)
	}
	line = e.log + line + rounded(cools).String()
	if e.key == keyLimited || e.key == keyModelLimited { // it passes by itself
		u.tel.Logger.InfoContext(ctx, line, attrs...)
		return
	}
	u.tel.Logger.WarnContext(ctx, line, append(attrs, "way_out", e.WayOut())...)
}

// rounded makes a duration short enough to read.
func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}
