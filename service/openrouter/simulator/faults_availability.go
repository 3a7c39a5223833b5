package simulator

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// unavailable is one reason why a model cannot be served. Its answers carry error.availability and no error.code.
type unavailable struct {
	code, about string
	status      int
	message     string // %s is the model
	retryable   bool
	hint        string // default of retry_after
	excludedBy  []string
	constraint  map[string]string
	successor   bool // suggests a fallback model
}

// unavailabilities lists the closed set of availability codes.
func unavailabilities() []unavailable {
	return []unavailable{
		modelNotFound(),
		{
			code: "wrong_endpoint", about: "the model belongs to another endpoint", status: 400,
			message:    "%s cannot be called on /chat/completions",
			constraint: map[string]string{"field": "endpoint", "detail": "/api/v1/embeddings"},
		},
		{
			code: "region_restricted", about: "not available in this region", status: 403,
			message: "%s is not available in your region", excludedBy: []string{"geo"},
		},
		{code: "no_endpoints", about: "no endpoint is left", status: 404, message: "No endpoints found for %s."},
		{
			code: "model_deprecated", about: "the model was removed", status: 404,
			message: "%s is deprecated.", successor: true,
		},
		{
			code: "model_unavailable_upstream", about: "its providers no longer have it", status: 404,
			message: "%s is unavailable at all of its providers", successor: true,
		},
		{
			code: "privacy_restricted", about: "the data policy excludes every endpoint", status: 404,
			message:    "No endpoints for %s match your data policy. Adjust at https://openrouter.ai/settings/privacy.",
			excludedBy: []string{"data_policy:zdr"},
		},
		constraintFiltered("max_price", "every endpoint is dearer"),
		{
			code: "free_variant_ended", about: "the :free variant has ended", status: 404,
			message: "The free variant of %s has ended", successor: true,
		},
		{
			code: "capacity_exhausted", about: "all providers are at capacity", status: 429, retryable: true, hint: "40",
			message: "All providers for %s are at capacity.",
		},
		{
			code: "temporarily_unavailable", about: "all attempts failed upstream", status: 503, retryable: true,
			message: "%s is temporarily unavailable",
		},
	}
}

func modelNotFound() unavailable {
	return unavailable{
		code: "model_not_found", about: "the model is unknown", status: 400, message: "%s is not a valid model ID",
	}
}

func constraintFiltered(field, detail string) unavailable {
	return unavailable{
		code: "constraint_filtered", about: "a routing constraint excludes every endpoint", status: 404,
		message: "No endpoints found for %s that can handle the requested parameters", excludedBy: []string{field},
		constraint: map[string]string{"field": field, "detail": detail},
	}
}

// availabilityFaults are the errors with an availability object.
func availabilityFaults() []kind {
	var faults []kind
	for _, u := range unavailabilities() {
		k := kind{
			name: u.code, about: fmt.Sprintf("%d with availability.code %s: %s", u.status, u.code, u.about),
			answer: u.reply, routed: true, firstModel: !u.retryable,
		}
		k.params = append([]param{retryAfter(u.hint)}, availabilityParams()...)
		faults = append(faults, k)
	}
	return append(faults, kind{
		name: "availability", about: "an availability code that is not known yet, with any status", routed: true, answer: unknownAvailability,
		params: append([]param{
			{name: "code", value: "model_paused", about: "the code"},
			{name: "status", value: "404", form: whole, about: "the status, 400 to 999"},
			retryAfter(""),
		}, availabilityParams()...),
	})
}

// availabilityParams are what every error with an availability object may have differently.
func availabilityParams() []param {
	return []param{
		{name: "retryable", oneOf: "true|false", about: "true or false, in place of what the code means"},
		{name: "place", value: "error", oneOf: "error|metadata", about: "where the object stands: error or metadata"},
	}
}

func unknownAvailability(e *exchange, a args) reply {
	status := min(max(a.number("status"), 400), 999)
	return unavailable{code: a["code"], status: status, message: "%s cannot be served (" + a["code"] + ")"}.reply(e, a)
}

// reply answers with the error. Retry-After stands in the body as well.
func (u unavailable) reply(e *exchange, a args) reply {
	return errorReply(u.status, u.problem(e, a), nil).retryAfter(a)
}

// problem is the error object.
func (u unavailable) problem(e *exchange, a args) apiError {
	object := &availability{
		Code:            u.code,
		Retryable:       cmp.Or(a["retryable"], strconv.FormatBool(u.retryable)) == "true",
		RetryAfter:      a.number("retry_after"),
		RequestedModels: e.asked.candidates(),
		ExcludedBy:      u.excludedBy,
		Constraint:      u.constraint,
		DocsURL:         "https://openrouter.ai/docs/errors#" + u.code,
	}
	if u.successor {
		object.FallbackModels = []string{"google/gemini-3.5-flash-lite"}
	}
	problem := apiError{
		Message:      strings.Replace(u.message, "%s", e.call.Model, 1),
		ErrorType:    errorType(u.status),
		HTTPStatus:   u.status,
		Availability: object,
	}
	if u.retryable {
		object.AffectedProviders = []string{"google-vertex", "google-ai-studio"}
		problem.Metadata = map[string]any{"previous_errors": []map[string]any{
			{"provider": "google-vertex", "code": u.code, "status": u.status},
			{"provider": "google-ai-studio", "code": u.code, "status": u.status},
		}}
	}
	if a["place"] == "metadata" {
		if problem.Metadata == nil {
			problem.Metadata = map[string]any{}
		}
		problem.Metadata["availability"], problem.Availability = object, nil
	}
	return problem
}
