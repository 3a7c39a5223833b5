package main

// openRouter shows the calls.
func openRouter() board {
	return board{
		name: "openrouter", title: "gemini-client: OpenRouter",
		description: "The calls to OpenRouter: how they end, how long they take, with which model and key.",
		rows:        []row{callsRow(), timesRow(), modelsRow(), limitsRow()},
	}
}

func callsRow() row {
	return row{"Calls", []panel{
		{title: "Calls by outcome", unit: perSec, description: "Attempts, by success or failure code. Failures that a retry heals never reach a requester.", queries: one("sum by (outcome) (rate(gemini_calls_total{"+job+"}"+rates+"))", "{{outcome}}")},
		{title: "Calls by model", unit: perSec, description: "Attempts by the model that was asked.", queries: one("sum by (gen_ai_request_model) (rate(gemini_calls_total{"+job+"}"+rates+"))", "{{gen_ai_request_model}}")},
		{title: "Calls by API key", unit: perSec, description: "Attempts by the key, which is named by its last four characters.", queries: one("sum by (key) (rate(gemini_keys_calls_total{"+job+"}"+rates+"))", "{{key}}")},
		{title: "Failed share by API key", unit: percent, description: "Attempts that failed, of all attempts with the key. One key alone: look at it; all: look at OpenRouter.", queries: one(`sum by (key) (rate(gemini_keys_calls_total{`+job+`,outcome!="success"}`+rates+`)) / (sum by (key) (rate(gemini_keys_calls_total{`+job+`}`+rates+`)) > 0)`, "{{key}}")},
		{title: "Retries in the process, by reason", unit: perSec, description: "Calls repeated within the same delivery, by the failure code of the call before.", queries: one("sum by (reason) (rate(gemini_retries_total{"+job+"}"+rates+"))", "{{reason}}")},
		{title: "Rescheduled requests, by reason", unit: perSec, description: "Requests that come again later, because short waits did not help.", queries: one("sum by (reason) (rate(gemini_scheduled_total{"+job+"}"+rates+"))", "{{reason}}")},
		{title: "HTTP answers by status", unit: perSec, description: "Requests to OpenRouter by HTTP status; no status: the network or the proxy failed.", queries: one("sum by (http_response_status_code) (rate(http_client_request_duration_seconds_count{"+job+"}"+rates+"))", "{{http_response_status_code}}")},
	}}
}

func timesRow() row {
	return row{"Times", []panel{
		{title: "Time to the first token", unit: seconds, exemplars: true, description: "From the first attempt until the answer begins, retries included. The dots lead to traces.", queries: quantiles("gen_ai_client_operation_time_to_first_chunk_seconds", "")},
		{title: "Time to the whole answer", unit: seconds, exemplars: true, description: "With all attempts.", queries: quantiles("gen_ai_client_operation_duration_seconds", "")},
		{title: "Time to the whole answer by model, 95 %", unit: seconds, description: "The slower one of two models is the one to ask less.", queries: one("histogram_quantile(0.95, sum by (le, gen_ai_request_model) (rate(gen_ai_client_operation_duration_seconds_bucket{"+job+"}"+rates+")))", "{{gen_ai_request_model}}")},
		{title: "Time to the headers of an HTTP answer", unit: seconds, description: "One HTTP request each; the network and OpenRouter's own time.", queries: quantiles("http_client_request_duration_seconds", "")},
	}}
}

func modelsRow() row {
	return row{"Models and tokens", []panel{
		{title: "Tokens a second", unit: short, description: "By type: input (prompt) and output (answer).", queries: one("sum by (type) (rate(gemini_tokens_total{"+job+"}"+rates+"))", "{{type}}")},
		{title: "Cost of 1,000 calls, by model", unit: dollars, description: "What 1,000 attempts cost at present, failed ones among them.", queries: one("1000 * sum by (gen_ai_request_model) (rate(gemini_cost_total{"+job+"}"+rates+")) / (sum by (gen_ai_request_model) (rate(gemini_calls_total{"+job+"}"+rates+")) > 0)", "{{gen_ai_request_model}}")},
		{title: "Circuit breaker of each model", unit: short, description: "0 closed, 1 half-open, 2 open: requests for this model ask a fallback or are rescheduled.", queries: one("max by (gen_ai_request_model) (gemini_model_breaker_state{"+job+"})", "{{gen_ai_request_model}}")},
		{title: "Answers of another model", unit: perSec, description: "A fallback answered: the model that was asked for is gone, sick or at its limit.", queries: one("sum by (requested, served) (rate(gemini_substituted_total{"+job+"}"+rates+"))", "{{requested}} by {{served}}")},
	}}
}

func limitsRow() row {
	return row{"Limits, cache and batches", []panel{
		{title: "Waits for a limit a minute", unit: perSec, description: "Calls that waited for a limit that all workers share: of a tenant, a model or a key.", queries: one("sum by (limit) (rate(gemini_limits_waits_total{"+job+"}"+rates+"))", "{{limit}}")},
		{title: "How long a call waits for a limit", unit: seconds, description: "On average. More than some milliseconds: the limit is reached.", queries: one("sum by (limit) (rate(gemini_limits_waited_seconds_total{"+job+"}"+rates+")) / (sum by (limit) (rate(gemini_limits_waits_total{"+job+"}"+rates+")) > 0)", "{{limit}}")},
		{title: "Lookups in OpenRouter's response cache", unit: perSec, description: "Hits cost nothing. Only calls that ask the cache count.", queries: one("sum by (outcome) (rate(gemini_cache_lookups_total{"+job+"}"+rates+"))", "{{outcome}}")},
		{title: "Requests with tier batch", unit: perSec, description: "Waiting, submitted, answered, or returned to the ordinary way.", queries: one("sum by (outcome) (rate(gemini_batch_items_total{"+job+"}"+rates+"))", "{{outcome}}")},
	}}
}
