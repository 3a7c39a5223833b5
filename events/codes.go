package events

// Code says why a request failed. It is the machine-readable half of a failed
// result (field error_code), and the value of the same name in metrics, logs
// and spans.
type Code string

// The failure codes. The list is closed: a new one is a change of the contract.
const (
	// InvalidRequest: the body breaks a rule; the text names every one.
	InvalidRequest Code = "invalid_request"
	// CallbackNotAllowed: callback_queue is none of the allowed ones.
	CallbackNotAllowed Code = "callback_not_allowed"
	// PayloadTooLarge: the request, or its answer, is over the size limit.
	PayloadTooLarge Code = "payload_too_large"
	// DeadlineExceeded: the request's own deadline passed.
	DeadlineExceeded Code = "deadline_exceeded"
	// Cancelled: the request was cancelled.
	Cancelled Code = "cancelled"
	// ContentFiltered: the model's safety filter refused the prompt or the answer.
	ContentFiltered Code = "content_filtered"
	// ContextLengthExceeded: the prompt is too long for the model.
	ContextLengthExceeded Code = "context_length_exceeded"
	// ModelUnavailable: OpenRouter does not offer the model.
	ModelUnavailable Code = "model_unavailable"
	// Unauthorized: OpenRouter accepts none of the service's keys.
	Unauthorized Code = "unauthorized"
	// InsufficientCredits: the service's account at OpenRouter is empty.
	InsufficientCredits Code = "insufficient_credits"
	// BudgetExceeded: the budget of the tenant, or of all together, is used up.
	BudgetExceeded Code = "budget_exceeded"
	// RateLimited: OpenRouter or the provider kept limiting the rate of calls.
	RateLimited Code = "rate_limited"
	// UpstreamUnavailable: OpenRouter or the provider could not be reached or was down.
	UpstreamUnavailable Code = "upstream_unavailable"
	// UpstreamTimeout: the answer did not begin, go on or end in time.
	UpstreamTimeout Code = "upstream_timeout"
	// UpstreamInvalidResponse: the answer was empty, cut off or unreadable.
	UpstreamInvalidResponse Code = "upstream_invalid_response"
	// RedeliveryExhausted: the request was started too often without ever being settled.
	RedeliveryExhausted Code = "redelivery_exhausted"
	// Internal: a fault of the service itself.
	Internal Code = "internal"
)

// Codes returns every failure code, in the order of the contract. The slice is
// the caller's own.
func Codes() []Code {
	return []Code{
		InvalidRequest, CallbackNotAllowed, PayloadTooLarge, DeadlineExceeded, Cancelled, ContentFiltered,
		ContextLengthExceeded, ModelUnavailable, Unauthorized, InsufficientCredits, BudgetExceeded, RateLimited,
		UpstreamUnavailable, UpstreamTimeout, UpstreamInvalidResponse, RedeliveryExhausted, Internal,
	}
}

// Retryable reports whether the same request, unchanged but for a new
// request_id, can succeed later (the old id is answered, and stays so).
func (c Code) Retryable() bool {
	switch c {
	case InvalidRequest, CallbackNotAllowed, PayloadTooLarge, ContextLengthExceeded:
		return false // The request itself has to change.
	case DeadlineExceeded:
		return false // The deadline is part of the request, and it stays in the past.
	case Cancelled:
		return false // The cancellation was on purpose.
	case ContentFiltered:
		return false // The same prompt meets the same filter, and each try may cost money.
	case ModelUnavailable:
		return false // Lasts until the request names another model or the operator configures one.
	case BudgetExceeded:
		return false // It lasts until the period ends or the budget is raised, and failing was the tenant's choice.
	case Unauthorized, InsufficientCredits:
		return true // The operator fixes it; the requester has nothing to change.
	case RateLimited, UpstreamUnavailable, UpstreamTimeout, UpstreamInvalidResponse:
		return true // Temporary failures of OpenRouter or a provider.
	case RedeliveryExhausted, Internal:
		return true // A fault of the service, which the next version may fix.
	default:
		return false // An unknown code: nothing is promised.
	}
}

// Deadletter reports whether the original message is kept as a dead letter, so
// that an operator can replay it once the cause is fixed. Requests that are
// invalid, expired, cancelled or filtered are not kept: a replay would fail as
// well, and each would keep a prompt on disk.
func (c Code) Deadletter() bool {
	switch c {
	case ModelUnavailable, Unauthorized, InsufficientCredits, RateLimited, UpstreamUnavailable,
		UpstreamTimeout, UpstreamInvalidResponse, RedeliveryExhausted, Internal:
		return true
	case InvalidRequest, CallbackNotAllowed, PayloadTooLarge, DeadlineExceeded, Cancelled,
		ContentFiltered, ContextLengthExceeded, BudgetExceeded:
		return false
	default:
		return false
	}
}
