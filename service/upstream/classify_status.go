package upstream

import (
	"net/http"

	"gemini-client/service/openrouter"
)

// statusKind is the kind of an error that OpenRouter answered with.
func statusKind(e *openrouter.Error) kind {
	status := e.EffectiveStatus()
	switch refusal := e.Refusal(); {
	case e.Edge && e.Status != http.StatusRequestTimeout:
		return kindEdge
	case refusal != openrouter.RefusalNone && e.Availability != "":
		return refusalKind(refusal)
	case e.ContextLength():
		return kindContextLength
	case e.Moderation():
		return kindModeration
	case e.Affords() > 0:
		return kindTooDear
	case e.BudgetSpent():
		return kindBudgetSpent
	case e.KeyLimit():
		return kindKeyCapped
	case refusal != openrouter.RefusalNone:
		return refusalKind(refusal)
	case status >= 500, status == http.StatusRequestTimeout:
		return serverKind(status)
	}
	switch status {
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
		return kindForbidden
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
	case e.EffectiveStatus() < http.StatusBadRequest:
		return kindRedirect
	case e.Retryable:
		return kindOddRequest
	}
	return kindInvalidRequest
}

// refusalKind tells a model that is gone, for which another may answer from now on,
// from what is refused to this request, this account or this place.
func refusalKind(r openrouter.Refusal) kind {
	switch r {
	case openrouter.RefusalGone:
		return kindModelGone
	case openrouter.RefusalAway:
		return kindModelAway
	case openrouter.RefusalPolicy:
		return kindRoutingRefused
	case openrouter.RefusalConstraint:
		return kindConstraintRefused
	case openrouter.RefusalRegion:
		return kindRegionRefused
	case openrouter.RefusalEndpoint:
		return kindOtherEndpoint
	case openrouter.RefusalBatch:
		return kindBatchOnly
	case openrouter.RefusalNone:
	}
	return kindUnknown
}
