package main

// overview is what a person on call looks at first.
func overview() board {
	return board{
		name: "overview", title: "gemini-client: overview",
		description: "Are requests answered, how long does it take, what does it cost, and what stands in the way?",
		rows:        []row{nowRow(), requestsRow(), capacityRow(), moneyRow(), deadRow()},
	}
}

func nowRow() row {
	return row{"Now", []panel{
		{title: "Workers", unit: short, now: true, description: "Processes that Prometheus scrapes. None: nobody answers requests.", queries: one("count(gemini_slots{"+job+"})", "")},
		{title: "Oldest request waits for", unit: seconds, now: true, description: "Age of the oldest message that waits for a worker. Growing: the workers do not keep up, or take nothing.", queries: one("max(gemini_queue_oldest_age_seconds{"+job+"})", "")},
		{title: "Failed in the last hour", unit: percent, now: true, description: "Share of the requests that could be answered and failed. The objective allows 1 %.", queries: one("gemini:requests_failed:ratio_rate1h", "")},
		{title: "Dead letters", unit: short, now: true, description: "Originals of requests that failed for good and wait for a person's decision.", queries: one(`max(gemini_queue_messages{`+job+`,state="dead"})`, "")},
		{title: "Spent in the last hour", unit: dollars, now: true, description: "What OpenRouter reported for all attempts of the last hour.", queries: one("sum(increase(gemini_cost_total{"+job+"}[1h]))", "")},
		{title: "Usable API keys", unit: short, now: true, description: "Keys that calls can be made with, in the worker that has fewest. 0: nothing is taken.", queries: one(`min(gemini_keys{`+job+`,state="usable"})`, "")},
	}}
}

func requestsRow() row {
	return row{"Requests", []panel{
		{title: "Requests by verdict", unit: perSec, description: "What became of deliveries: completed and failed have a result, rescheduled come again later, duplicate and nacked are somebody else's.", queries: one("sum by (verdict) (rate(gemini_requests_total{"+job+"}"+rates+"))", "{{verdict}}")},
		{title: "Failures by code", unit: perSec, description: "Failed results by failure code. The runbook has a heading for each code.", queries: one(`sum by (code) (rate(gemini_requests_total{`+job+`,verdict="failed"}`+rates+`))`, "{{code}}")},
		{title: "Time from taking a request to its result", unit: seconds, exemplars: true, description: "One delivery, with all its calls. The dots lead to traces.", queries: quantiles("messaging_process_duration_seconds", "")},
		{title: "Time in the queue", unit: seconds, exemplars: true, description: "From the storing of a message in its queue until a worker took it. Long: too few slots, or the intake was paused.", queries: quantiles("gemini_queue_wait_seconds", "")},
		{title: "Requests by tenant", unit: perSec, description: "Results by tenant; the first 100 by name.", queries: one(`sum by (tenant) (rate(gemini_requests_total{`+job+`,verdict=~"completed|failed"}`+rates+`))`, "{{tenant}}")},
		{title: "Failed share, against the objective", unit: percent, description: "Of the requests that could be answered, over an hour and over six. Above 1 % for 30 days the objective is missed.", queries: []query{
			{"gemini:requests_failed:ratio_rate1h", "1 h"}, {"gemini:requests_failed:ratio_rate6h", "6 h"},
		}},
	}}
}

func capacityRow() row {
	return row{"Capacity", []panel{
		{title: "In flight and slots", unit: short, description: "Requests in flight in all workers. At the slots the fleet is full: more replicas, or a larger WORKER_CONCURRENCY.", queries: []query{
			{"sum(gemini_inflight{" + job + "})", "in flight"}, {"sum(gemini_slots{" + job + "})", "slots"},
		}},
		{title: "Circuit breaker by worker", unit: short, description: "0 closed, 1 half-open (a few probes), 2 open: nothing is taken from the queues.", queries: one("gemini_breaker_state{"+job+"}", "{{instance}}")},
		{title: "API keys by state", unit: short, description: "In the worker that has fewest usable ones. None usable: nothing is taken.", queries: one("min by (state) (gemini_keys{"+job+"})", "{{state}}")},
		{title: "Memory in hand", unit: size, description: "What the workers set aside for bodies and answers, and its bound. At the bound they take no more.", queries: []query{
			{"max(gemini_memory_in_hand_bytes{" + job + "})", "largest worker"}, {"min(gemini_memory_budget_bytes{" + job + "})", "WORKER_MEMORY_BUDGET"},
		}},
	}}
}

func moneyRow() row {
	return row{"Money", []panel{
		{title: "Spending an hour, by model", unit: dollars, description: "At the present rate, in USD an hour.", queries: one("sum by (gen_ai_request_model) (rate(gemini_cost_total{"+job+"}"+rates+")) * 3600", "{{gen_ai_request_model}}")},
		{title: "Spending an hour, by tenant", unit: dollars, description: "At the present rate, in USD an hour.", queries: one("sum by (tenant) (rate(gemini_cost_total{"+job+"}"+rates+")) * 3600", "{{tenant}}")},
		{title: "Budgets used", unit: percent, description: "Spent of each tenant's budget of this day, week or month (UTC); $fleet stands for all together.", queries: one("max by (tenant, period) (gemini_budget_spent{"+job+"}) / max by (tenant, period) (gemini_budget_limit{"+job+"})", "{{tenant}}, {{period}}")},
		{title: "Left of the keys' limits", unit: dollars, description: "Of all keys together, as OpenRouter tells it. The account's credit is not among it.", queries: one("min(gemini_keys_remaining{"+job+"})", "USD")},
	}}
}

func deadRow() row {
	return row{"What waits for a person", []panel{
		{title: "Dead letters kept", unit: short, description: "gemini-client deadletters list shows them; replay or purge.", queries: one(`max(gemini_queue_messages{`+job+`,state="dead"})`, "dead letters")},
		{title: "New dead letters by code", unit: perSec, description: "Requests that failed for good, and messages without a usable id.", queries: one("sum by (code) (rate(gemini_deadletters_total{"+job+"}"+rates+"))", "{{code}}")},
	}}
}
