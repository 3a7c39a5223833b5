package simulator

import "strings"

// routingFaults are the errors of a model that is gone, and of routing, in the form that captures show: message and code, and no
// availability object.
func routingFaults() []kind {
	return []kind{
		{
			name: "404", about: `404 "No endpoints found that support tool use"`, routed: true,
			answer: refused{404, "not_found", "No endpoints found that support tool use. To learn more about provider " +
				"routing, visit: https://openrouter.ai/docs/provider-routing"}.fault(nil),
		},
		{
			name: "404_gone", about: `404 "No endpoints found for" the model: it was retired`, routed: true, firstModel: true,
			answer: plain(404, "No endpoints found for %s."),
		},
		{
			name: "400_gone", about: `400, the model "is not a valid model ID": unknown, or retired and dropped`, routed: true, firstModel: true,
			answer: plain(400, "%s is not a valid model ID"),
		},
		{
			name: "404_batch", about: "404, the model is for the Batch API alone", routed: true, firstModel: true,
			answer: forBatchesAlone(),
		},
		{
			name: "404_guardrail", about: "404, a guardrail of the account excludes every endpoint", routed: true,
			answer: plain(404, "0 endpoints out of 3 requested are available matching your guardrail restrictions and data policy. "+
				"Configure: https://openrouter.ai/settings/privacy"),
		},
		{
			name: "404_data_policy", about: "404, the data policy of the account excludes every endpoint", routed: true,
			answer: plain(404, "No endpoints found matching your data policy. Configure: https://openrouter.ai/settings/privacy"),
		},
		{name: "400_models", about: "400, the list models has more than three entries", answer: plain(400, tooManyModels)},
	}
}

const (
	maxModels     = 3
	tooManyModels = "'models' array must have 3 items or fewer."
)

func forBatchesAlone() func(*exchange, args) reply {
	return refused{404, "not_found", "This model is only available through the Batch API. See " +
		"https://openrouter.ai/docs/guides/features/batch-api"}.fault(nil)
}

// plain answers with a code and a message in which %s is the model, and nothing else.
func plain(status int, message string) func(*exchange, args) reply {
	return func(e *exchange, _ args) reply {
		return errorReply(status, apiError{Code: status, Message: strings.Replace(message, "%s", e.call.Model, 1)}, nil)
	}
}
