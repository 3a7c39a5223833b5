package openrouter

import (
	"cmp"
	"regexp"
	"strings"
)

// Refusal says why OpenRouter had no endpoint for a request. The list is closed.
type Refusal string

// The refusals.
const (
	RefusalNone       Refusal = ""           // the error is of another kind
	RefusalGone       Refusal = "gone"       // OpenRouter does not offer the model: it is unknown, was removed, or has no endpoint left
	RefusalAway       Refusal = "away"       // the model is offered, but not here and now, or nothing is known but that it cannot be reached
	RefusalPolicy     Refusal = "policy"     // a data policy or a guardrail of the account, the workspace or the key excludes every endpoint
	RefusalConstraint Refusal = "constraint" // what the request demands (parameters, price, providers) excludes every endpoint
	RefusalRegion     Refusal = "region"     // the model is not offered where we are
	RefusalEndpoint   Refusal = "endpoint"   // the model is called in another way than by chat completions
	RefusalBatch      Refusal = "batch"      // the model, with its suffix :batch, is for the Batch API alone
)

// Refusal reads an error in OpenRouter's order of trust: the availability code, then error_type, status and message. A code that is new is
// RefusalAway, or RefusalPolicy with a 403; whether to repeat the call is in Retryable alone.
func (e *Error) Refusal() Refusal {
	if e.Kind != KindStatus || e.Edge {
		return RefusalNone
	}
	if e.Availability != "" {
		return e.codeRefusal()
	}
	switch e.EffectiveStatus() {
	case 0, 400:
		if !e.Relayed {
			return e.wordsRefusal()
		}
	case 403:
		if e.says(regionWords()...) {
			return RefusalRegion
		}
	case 404:
		switch {
		case strings.HasPrefix(e.Type, "image_"): // one of the request's
			return RefusalNone
		case e.Relayed: // the provider's own words about a name of its own
			return RefusalAway
		}
		return cmp.Or(e.wordsRefusal(), RefusalAway)
	}
	return RefusalNone
}

func (e *Error) codeRefusal() Refusal {
	switch e.Availability {
	case "model_not_found", "model_deprecated", "no_endpoints", "free_variant_ended":
		if e.Retryable { // OpenRouter's word on it counts more than the code
			return RefusalAway
		}
		return cmp.Or(e.exclusion(), RefusalGone)
	case "model_unavailable_upstream":
		return RefusalAway
	case "privacy_restricted":
		return RefusalPolicy
	case "constraint_filtered":
		return RefusalConstraint
	case "region_restricted":
		return RefusalRegion
	case "wrong_endpoint":
		return RefusalEndpoint
	case "capacity_exhausted", "temporarily_unavailable":
		return RefusalNone
	}
	switch e.EffectiveStatus() {
	case 0, 400, 404:
		return RefusalAway
	case 403:
		return RefusalPolicy
	}
	return RefusalNone
}

// exclusion tells a model without endpoints from one that has some, which something excludes for this request: a rule of its own, or of the
// account.
func (e *Error) exclusion() Refusal {
	if e.Availability != "no_endpoints" {
		return RefusalNone
	}
	for _, by := range e.excluded {
		switch by, _, _ := strings.Cut(by, ":"); by {
		case "geo", "data_region":
			return RefusalRegion
		case "data_policy":
			return RefusalPolicy
		}
	}
	if len(e.excluded) > 0 {
		return RefusalConstraint
	}
	return RefusalNone
}

// wordsRefusal reads the message, the only thing that most refusals have.
func (e *Error) wordsRefusal() Refusal {
	switch {
	case gonePattern.MatchString(e.words()): // before what a model's name may have in it
		return RefusalGone
	case e.says("through the batch api"):
		return RefusalBatch
	case e.says("guardrail", "data policy", "settings/privacy", "zero data retention"):
		return RefusalPolicy
	case e.says(regionWords()...):
		return RefusalRegion
	case e.says("no endpoints found that ", "requested parameters", "no allowed providers", "matching your requirements"):
		return RefusalConstraint
	}
	return RefusalNone
}

func regionWords() []string {
	return []string{"in your region", "in your country", "from your region", "from your country"}
}

// gonePattern matches the whole of "No endpoints found for <slug>." and "<slug> is not a valid model ID": what names a reason beside the
// model is a refusal of the request. A pointer to the documentation is no reason.
var gonePattern = regexp.MustCompile(`(?i)^(?:no endpoints found for (\S+?)\.?(?: to learn more\b.*)?|(\S+) is not a valid model id\.?)$`)

// goneModel returns the model that an error calls gone: with a list of models it may be any of them.
func (e *Error) goneModel(obj errorObject) string {
	if m := gonePattern.FindStringSubmatch(e.words()); m != nil {
		return m[1] + m[2]
	}
	if a := obj.availability(); a != nil && len(a.RequestedModels) == 1 {
		return string(a.RequestedModels[0])
	}
	return ""
}
