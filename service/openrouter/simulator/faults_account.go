package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// accountFaults are refusals because of the key or the credit.
func accountFaults() []kind {
	return []kind{
		{
			name: "401", about: "401, as for a bad key; valid keys get it in outages", answer: unauthorized,
			params: []param{{
				name: "text", value: "user", oneOf: "user|credentials|header",
				about: `user "User not found.", credentials "No auth credentials found", header "Missing Authentication header"`,
			}},
		},
		{
			name: "401_provider", about: "401 that a provider returned: not your key", routed: true,
			answer: relayed(401, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`, nil),
		},
		{
			name: "402", about: "402, no credit",
			answer: refused{402, "payment_required", "Insufficient credits. Add more using https://openrouter.ai/credits"}.
				fault(map[string]any{"provider_name": nil, "limit_source": "openrouter_credits"}),
		},
		{
			name: "402_afford", about: "402, the credit affords fewer tokens than max_tokens", answer: cannotAfford,
			params: []param{{name: "tokens", value: affordedTokens, form: whole, about: "how many the credit affords"}},
		},
		{
			name: "402_in_flight", about: "402 in_flight_budget_exhausted with Retry-After: it passes",
			params: []param{retryAfter("5")},
			answer: refused{402, "payment_required", "Too much of your balance is held by requests in flight"}.
				fault(map[string]any{"reason": "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"}),
		},
		{
			name: "402_in_flight_silent", about: "402 in_flight_budget_exhausted without Retry-After: it is not to be waited for",
			answer: refused{402, "payment_required", "Too much of your balance is held by requests in flight"}.
				fault(map[string]any{"reason": "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"}),
		},
		{
			name: "402_weight", about: "402 weight_exceeds_budget: this request alone is too expensive",
			answer: refused{402, "payment_required", "This request needs more than your whole in-flight budget"}.
				fault(map[string]any{"reason": "weight_exceeds_budget", "limit_source": "openrouter_in_flight_budget"}),
		},
	}
}

// limitFaults are refusals because of what a prompt says, of a limit or of a budget.
func limitFaults() []kind {
	return []kind{
		{name: "403_moderation", about: "403 with reasons and flagged_input", routed: true, answer: moderated},
		{
			name: "403_guardrail", about: "403, a guardrail of the account blocked the prompt",
			answer: refused{403, "permission_denied", "Request blocked: prompt injection patterns detected"}.
				fault(map[string]any{"patterns": []string{"ignore all previous instructions"}}),
		},
		{name: "403_key_limit", about: "403, the limit of the key is used up", answer: keyLimit},
		{
			name: "403_workspace_budget", about: "403, a budget of the workspace is used up", answer: workspaceBudget,
			params: []param{{
				name: "interval", value: "monthly", oneOf: "daily|weekly|monthly|lifetime", about: "daily, weekly, monthly or lifetime",
			}},
		},
		{
			name: "403_guardrail_budget", about: "403, the budget of a guardrail is used up",
			answer: refused{403, "permission_denied", "Guardrail budget limit exceeded"}.fault(map[string]any{
				"scope": "daily", "limit_usd": 30, "spend_usd": 30.01, "resets_at": "2027-01-01T00:00:00Z",
				"limit_source": "openrouter_guardrail_budget",
			}),
		},
		{
			name: "429_platform", about: "429 of the platform with X-RateLimit-*, Reset in Unix milliseconds",
			params: []param{{name: "reset", value: "30s", form: span, about: "how far away X-RateLimit-Reset is"}},
			answer: func(_ *exchange, a args) reply {
				return platformLimit("limit_rpm", 20, time.Now().Add(a.duration("reset")), "openrouter_shared_capacity")
			},
		},
		{
			name: "free_tier_daily", about: "429 of the platform, the day's free calls are used up: waiting is useless",
			answer: func(*exchange, args) reply {
				midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
				return platformLimit("free-models-per-day", 50, midnight, "openrouter_free_tier_daily")
			},
		},
	}
}

func unauthorized(_ *exchange, a args) reply {
	text := "User not found."
	switch a["text"] {
	case "credentials":
		text = "No auth credentials found"
	case "header":
		text = "Missing Authentication header"
	}
	return refused{401, "authentication", text}.reply(nil)
}

const affordedTokens = "256"

// spares reports whether a call asks for no more tokens than the credit affords; 0 is any number of them.
func (f Fault) spares(limit int) bool {
	tokens, err := strconv.Atoi(cmp.Or(f.Params["tokens"], affordedTokens))
	return f.Name == "402_afford" && err == nil && limit > 0 && limit <= tokens
}

func cannotAfford(e *exchange, a args) reply {
	text := fmt.Sprintf("This request requires more credits, or fewer max_tokens. You requested up to %d tokens, but can "+
		"only afford %d. To increase, visit https://openrouter.ai/settings/credits", e.asked.limit(), a.number("tokens"))
	return refused{402, "payment_required", text}.
		reply(map[string]any{"provider_name": nil, "limit_source": "openrouter_credits"})
}

// moderated quotes up to 100 characters of the prompt, its middle cut out, as the real one does.
func moderated(e *exchange, _ args) reply {
	flagged := []rune(e.text)
	if len(flagged) > 100 {
		flagged = append(append(flagged[:48:48], []rune("...")...), flagged[len(flagged)-49:]...)
	}
	return refused{403, "permission_denied", "Input was flagged by moderation"}.reply(map[string]any{
		"error_type": "content_policy_violation", "reasons": []string{"violence"}, "flagged_input": string(flagged),
		"provider_name": providerName, "model_slug": e.call.Model,
	})
}

func keyLimit(*exchange, args) reply {
	return refused{
		403, "permission_denied",
		"Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys",
	}.reply(map[string]any{
		"scope": "total", "limit_usd": 10, "spend_usd": 10.02, "resets_at": nil, "limit_source": "openrouter_key_limit",
	})
}

// workspaceBudget has the documented sentence and nothing else.
func workspaceBudget(e *exchange, a args) reply {
	return plain(403, "Workspace "+a["interval"]+" budget of $500.00 exceeded. Contact your workspace admin.")(e, a)
}

// platformLimit is a 429 of OpenRouter itself; the headers stand in the body as well, as strings.
func platformLimit(name string, limit int, reset time.Time, source string) reply {
	values := map[string]string{
		"X-RateLimit-Limit":     strconv.Itoa(limit),
		"X-RateLimit-Remaining": "0",
		"X-RateLimit-Reset":     strconv.FormatInt(reset.UnixMilli(), 10),
	}
	header := make(http.Header)
	for key, value := range values {
		header.Set(key, value)
	}
	return errorReply(429, apiError{Code: 429, Message: "Rate limit exceeded: " + name, Metadata: map[string]any{
		"error_type": "rate_limit_exceeded", "headers": values, "limit_source": source,
		"remedy_hint": "Wait until the limit resets",
	}}, header)
}
