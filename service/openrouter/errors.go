package openrouter

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind says at which point a call failed. The list is closed.
type Kind string

// The kinds of failure.
const (
	KindRequest     Kind = "request"      // the request or the key cannot be sent, so no call was made
	KindStatus      Kind = "status"       // OpenRouter answered with an error status, or with an error object in a 200
	KindConnection  Kind = "connection"   // no response: resolving, dialling, TLS, the proxy, a reset before the headers
	KindFirstToken  Kind = "first_token"  // Config.FirstToken passed without a token
	KindGap         Kind = "gap"          // Config.Gap passed since the last token
	KindCallTimeout Kind = "call_timeout" // the context's deadline passed
	KindUnfinished  Kind = "unfinished"   // Config.Call passed before the answer was complete
	KindCancelled   Kind = "cancelled"    // the context was cancelled
	KindCut         Kind = "cut"          // the response ended, or broke, before finish_reason or [DONE]
	KindEmpty       Kind = "empty"        // a whole answer without content, refusal, tool calls or reasoning
	KindFinishError Kind = "finish_error" // finish_reason "error" without an error object
	KindTooLarge    Kind = "too_large"    // MaxAnswerBytes or MaxLineBytes was exceeded
	KindMalformed   Kind = "malformed"    // a 200 with something else than a stream or JSON
)

// Error says why a call failed, with the fields a caller decides by. No field and no text of it contains an API key, and unless a
// provider quotes it, none of the prompt. errors.Is matches context.Canceled for KindCancelled and context.DeadlineExceeded for
// KindCallTimeout, and the cause of the caller's context; for other kinds it matches neither of the two.
type Error struct {
	Kind Kind
	// Status is the HTTP status, or the error object's after a 200 (0 if it names none that is known).
	Status  int
	Code    string // the error object's code, number or string, as text
	Type    string // error_type
	Message string // for people: one line of at most 500 characters, with what else OpenRouter tells about the cause
	Model   string // that is gone, where Refusal is RefusalGone and OpenRouter names it

	Provider           string
	Relayed            bool   // the provider's own error, passed on: a 401 or 400 with it is not about our key or request shape
	Edge               bool   // a 4xx without OpenRouter's error object: a proxy or an edge on the way answered, not OpenRouter
	LimitSource        string // which limit was hit: openrouter_key_limit, openrouter_free_tier_daily, …
	Reason             string // in_flight_budget_exhausted, weight_exceeds_budget, …
	NativeFinishReason string // of KindFinishError

	Availability          string // why the model cannot be reached: model_deprecated, no_endpoints, …
	AvailabilityRetryable *bool  // whether OpenRouter recommends a retry; nil if it says nothing

	RetryAfter   time.Duration // how long the server asks to wait; 0 if it does not say
	GenerationID string
	Usage        *Usage    // what was billed, if it is known
	Started      bool      // tokens had begun to arrive: the call may be billed
	FirstToken   time.Time // when; reasoning and tool calls count
	Retryable    bool      // the same call, with the same key, may succeed after a short wait
	MayBeStored  bool      // of SubmitBatch: the batch may exist all the same; without it, it surely does not

	said      string // Message without what was added to it
	moderated bool
	excluded  []string // what kept the endpoints there are from the request: excluded_by
	cause     error
}

// Error returns the kind, the status and the message.
func (e *Error) Error() string {
	if e.Kind == KindStatus && e.Status != 0 {
		return fmt.Sprintf("openrouter: status %d: %s", e.Status, e.Message)
	}
	return fmt.Sprintf("openrouter: %s: %s", e.Kind, e.Message)
}

// Unwrap returns the cause, whose text is redacted too.
func (e *Error) Unwrap() error { return e.cause }

// Moderation reports whether the request was refused for what it says, by a filter, a guardrail or the model's provider.
func (e *Error) Moderation() bool {
	if e.Kind != KindStatus || e.KeyLimit() {
		return false
	}
	switch e.Type {
	case "moderation", "guardrail", "content_policy_violation", "refusal":
		return true
	}
	return e.moderated || e.Status == 403 && e.says("requires moderation", "input was flagged")
}

// KeyLimit reports whether a budget of the key, of its guardrail or its workspace is spent: another key may help.
func (e *Error) KeyLimit() bool {
	switch e.LimitSource {
	case "openrouter_key_limit", "openrouter_guardrail_budget", "openrouter_workspace_budget":
		return true
	}
	return e.says("key limit exceeded") && e.refusesToPay() || e.BudgetSpent()
}

// BudgetSpent reports whether it is the budget of a guardrail or a workspace that is spent, and not the key's own limit.
func (e *Error) BudgetSpent() bool {
	switch e.LimitSource {
	case "openrouter_guardrail_budget", "openrouter_workspace_budget":
		return true
	}
	return budgetPattern.MatchString(e.words()) && e.refusesToPay()
}

// budgetPattern is "Workspace monthly budget of $500.00 exceeded.", with any owner and interval.
var budgetPattern = regexp.MustCompile(`(?i)\bbudget of \S+ (has been |is )?exceeded`)

// refusesToPay reports whether an error may be about money: by its status, or because it has none.
func (e *Error) refusesToPay() bool {
	switch e.EffectiveStatus() {
	case 0, 402, 403:
		return !e.Relayed
	}
	return false
}

// Affords returns how many tokens of an answer the credit affords, where a 402 says that it does not afford max_tokens: a call that
// asks for no more may pass. 0 if it does not say.
func (e *Error) Affords() int {
	_, number, says := strings.Cut(strings.ToLower(e.Message), "can only afford ")
	if e.Status != 402 && e.Status != 403 || e.Relayed || !says {
		return 0
	}
	end := strings.IndexFunc(number, func(r rune) bool { return (r < '0' || r > '9') && r != ',' })
	if end >= 0 {
		number = number[:end]
	}
	tokens, err := strconv.Atoi(strings.ReplaceAll(number, ",", ""))
	if err != nil {
		return 0
	}
	return tokens
}

// ModelLimit reports whether a 429 is about the model that was asked for, and not about the key or its account: a provider's limit,
// passed on, or one of OpenRouter's own that names the model or the free models.
func (e *Error) ModelLimit() bool {
	switch {
	case e.EffectiveStatus() != 429:
		return false
	case e.Availability != "", e.LimitSource == "upstream_provider_shared_pool", e.says("limit_rpm/", "limit_rpd/", "high demand for ", "free-models-per-min"):
		return true
	case strings.HasPrefix(e.LimitSource, "openrouter_"):
		return false
	}
	return e.Relayed || e.Provider != ""
}

// ContextLength reports whether the prompt, or the answer asked for, does not fit the model.
func (e *Error) ContextLength() bool {
	switch e.Type {
	case "context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long":
		return true
	}
	return e.Code == "context_length_exceeded" ||
		e.Status == 400 && e.says("context length", "context window", "exceeds the maximum number of tokens")
}

// InFlightBudget reports a 402 that passes when calls in flight have ended. OpenRouter says when with a Retry-After.
func (e *Error) InFlightBudget() bool {
	return e.Reason == "in_flight_budget_exhausted" ||
		e.LimitSource == "openrouter_in_flight_budget" && e.Reason == "" && e.RetryAfter > 0
}

// FreeTierDaily reports that the day's free requests are used up.
func (e *Error) FreeTierDaily() bool {
	return e.LimitSource == "openrouter_free_tier_daily" || e.Status == 429 && e.says("free-models-per-day")
}

// says reports whether the message contains one of the phrases, which are in lower case.
func (e *Error) says(phrases ...string) bool {
	message := strings.ToLower(e.words())
	for _, phrase := range phrases {
		if strings.Contains(message, phrase) {
			return true
		}
	}
	return false
}

// Names reports whether OpenRouter's own words name a model. What it suggests instead, and what was asked for, is not among them.
func (e *Error) Names(model string) bool {
	for word := range strings.FieldsSeq(e.words()) {
		if strings.Trim(word, `"'.,:()`+"`") == model {
			return true
		}
	}
	return false
}

// words are the message as OpenRouter sent it.
func (e *Error) words() string { return cmp.Or(e.said, e.Message) }

// EffectiveStatus is the status that an error stands for: the one that its availability code comes with, else that of its error_type,
// else Status. OpenRouter's names are to be trusted before its numbers, of which a 200 has none. "unmapped" is no name.
func (e *Error) EffectiveStatus() int {
	if status := typeStatus(e.Availability); status != 0 || e.Type == "unmapped" {
		return cmp.Or(status, e.Status)
	}
	return cmp.Or(typeStatus(e.Type), e.Status)
}

// retryStatus sets Retryable of a KindStatus error from everything else that is known.
func (e *Error) retryStatus() {
	switch {
	case e.FreeTierDaily():
		e.Retryable = false
	case e.AvailabilityRetryable != nil:
		e.Retryable = *e.AvailabilityRetryable
	case e.Refusal() != RefusalNone:
		e.Retryable = false
	case e.EffectiveStatus() == 400:
		e.Retryable = !e.Relayed && e.says("no models provided") // seen for a moment with valid models
	case e.EffectiveStatus() == 401:
		e.Retryable = e.Relayed // the provider refuses OpenRouter's key, not OpenRouter ours
	case e.EffectiveStatus() == 402: // without a Retry-After it is not to be repeated, whatever the reason
		e.Retryable = e.InFlightBudget() && e.RetryAfter > 0
	default:
		e.Retryable = transient(e.EffectiveStatus())
	}
}

// transient reports whether a status passes by itself. 0 is an error object in a 200 that does not say what it is.
func transient(status int) bool {
	switch status {
	case 0, 408, 429, 500, 502, 503, 504:
		return true
	}
	return status >= 520 && status <= 529
}
