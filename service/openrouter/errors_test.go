package openrouter_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gemini-client/service/openrouter"
)

// facts compares errors by what a caller sees.
func facts() cmp.Options {
	return cmp.Options{cmpopts.IgnoreUnexported(openrouter.Error{}), cmpopts.IgnoreFields(openrouter.Error{}, "FirstToken")}
}

// TestErrorStatuses runs where it is always midnight of 2000-01-01 UTC, which is 946684800000 in Unix milliseconds.
func TestErrorStatuses(t *testing.T) {
	t.Parallel()
	type want = openrouter.Error
	type header = map[string]string
	tests := map[string]struct {
		status int
		header header
		body   string
		want   want
	}{
		"400 plain":                     {400, nil, `{"error":{"code":400,"message":"temperature must be <= 2","metadata":{"error_type":"invalid_request"}}}`, want{Code: "400", Type: "invalid_request", Message: "temperature must be <= 2"}},
		"400 relayed":                   {400, nil, `{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"No models provided\"}}","provider_name":"Google"}}}`, want{Code: "400", Message: "Provider returned error: No models provided", Provider: "Google", Relayed: true}},
		"400 typed by the provider":     {400, nil, `{"error":{"code":400,"message":"bad image","metadata":{"error_type":"invalid_image","provider_code":123}}}`, want{Code: "400", Type: "invalid_image", Message: "bad image", Relayed: true}},
		"400 no models provided passes": {400, nil, `{"error":{"code":400,"message":"No models provided"}}`, want{Code: "400", Message: "No models provided", Retryable: true}},
		"401 of our key":                {401, nil, testdata(t, "error_401_user_not_found.json"), want{Code: "401", Message: "User not found."}},
		"401 of the provider, raw is Google's list": {401, nil, testdata(t, "error_401_relayed.json"), want{
			Code: "401", Message: "Provider returned error: Request had invalid authentication credentials.", Provider: "Google AI Studio", Relayed: true, Retryable: true,
		}},
		"402 no credit": {402, nil, testdata(t, "error_402_credits.json"), want{
			Code: "402", LimitSource: "openrouter_credits",
			Message: "This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, but can only afford 1234.",
		}},
		"402 in flight": {402, header{"Retry-After": "3"}, testdata(t, "error_402_in_flight.json"), want{
			Code: "402", Type: "payment_required", LimitSource: "openrouter_in_flight_budget", Reason: "in_flight_budget_exhausted",
			Message: "Your in-flight budget is exhausted", RetryAfter: 3 * time.Second, Retryable: true,
		}},
		"402 weight": {402, nil, testdata(t, "error_402_weight.json"), want{
			Code: "402", Type: "payment_required", LimitSource: "openrouter_in_flight_budget", Reason: "weight_exceeds_budget",
			Message: "This request alone exceeds your in-flight budget",
		}},
		"403 key limit": {403, nil, testdata(t, "error_403_key_limit.json"), want{Code: "403", Message: "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"}},
		"403 moderation does not show the input": {403, nil, testdata(t, "error_403_moderation.json"), want{
			Code: "403", Provider: "Google", Message: "google/gemini-2.5-flash requires moderation on OpenRouter. (reasons: violence, self-harm)",
		}},
		"403 guardrail": {403, nil, testdata(t, "error_403_guardrail.json"), want{Code: "403", Type: "guardrail", Message: "Request blocked by guardrail"}},
		"404 availability without a code": {404, nil, testdata(t, "error_404_availability.json"), want{
			Type: "not_found", Model: "google/gemini-2.5-flash",
			Message:      "google/gemini-2.5-flash has been deprecated (OpenRouter suggests google/gemini-3.5-flash-lite; asked for google/gemini-2.5-flash)",
			Availability: "model_deprecated", AvailabilityRetryable: new(false),
		}},
		"404 no endpoints": {404, nil, `{"error":{"code":404,"message":"No endpoints found that support tool use"}}`, want{Code: "404", Message: "No endpoints found that support tool use"}},
		"404 that OpenRouter says to retry": {404, nil, `{"error":{"code":404,"message":"not now","availability":{"code":"no_endpoints","retryable":true,"retry_after":"2.5"}}}`, want{
			Code: "404", Message: "not now", Availability: "no_endpoints", AvailabilityRetryable: new(true), RetryAfter: 2500 * time.Millisecond, Retryable: true,
		}},
		"408": {408, nil, `{"error":{"code":408,"message":"Request timed out"}}`, want{Code: "408", Message: "Request timed out", Retryable: true}},
		"409": {409, nil, `{"error":{"code":409,"message":"conflict"}}`, want{Code: "409", Message: "conflict"}},
		"413": {413, nil, `{"error":{"code":413,"message":"too large","metadata":{"error_type":"payload_too_large"}}}`, want{Code: "413", Type: "payload_too_large", Message: "too large"}},
		"422": {422, nil, `{"error":{"code":422,"message":"unprocessable"}}`, want{Code: "422", Message: "unprocessable"}},
		"429 platform, reset in the header": {429, header{"X-RateLimit-Reset": "946684830000"}, `{"error":{"code":429,"message":"Rate limit exceeded"}}`, want{
			Code: "429", Message: "Rate limit exceeded", RetryAfter: 30 * time.Second, Retryable: true,
		}},
		"429 platform, reset in the metadata": {429, nil, testdata(t, "error_429_platform.json"), want{
			Code: "429", LimitSource: "openrouter_shared_capacity", RetryAfter: 42 * time.Second, Retryable: true,
			Message: "Rate limit exceeded: limit_rpm/google/gemini-2.5-flash. High demand for this model, limited to 20 requests per minute.",
		}},
		"429 free tier of the day": {429, nil, testdata(t, "error_429_daily.json"), want{
			Code: "429", LimitSource: "openrouter_free_tier_daily", RetryAfter: 24 * time.Hour,
			Message: "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
		}},
		"429 free tier of the day, by its text": {429, nil, `{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day-high-balance."}}`, want{Code: "429", Message: "Rate limit exceeded: free-models-per-day-high-balance."}},
		"429 of the provider, raw is JSON in a string": {429, nil, testdata(t, "error_429_provider.json"), want{
			Code: "429", Provider: "Google", Relayed: true, LimitSource: "upstream_provider_shared_pool", Retryable: true,
			Message: "Provider returned error: Resource exhausted. Please try again later.",
		}},
		"429 Retry-After as a date": {429, header{"Retry-After": "Sat, 01 Jan 2000 00:01:30 GMT"}, "", want{Edge: true, Message: "HTTP 429 Too Many Requests", RetryAfter: 90 * time.Second, Retryable: true}},
		"429 Retry-After before all else": {429, header{"Retry-After": "5", "X-RateLimit-Reset": "946684830000"}, `{"error":{"message":"m","availability":{"code":"capacity_exhausted","retry_after":9}}}`, want{
			Message: "m", Availability: "capacity_exhausted", RetryAfter: 5 * time.Second, Retryable: true,
		}},
		"429 Retry-After in the metadata": {429, nil, `{"error":{"message":"m","metadata":{"headers":{"retry-after":"4","X-RateLimit-Reset":"946684830000"}}}}`, want{Message: "m", RetryAfter: 4 * time.Second, Retryable: true}},
		"429 Retry-After is past":         {429, header{"Retry-After": "Fri, 31 Dec 1999 23:00:00 GMT"}, "", want{Edge: true, Message: "HTTP 429 Too Many Requests", Retryable: true}},
		"429 Retry-After is nonsense":     {429, header{"Retry-After": "NaN", "X-RateLimit-Reset": "soon"}, "", want{Edge: true, Message: "HTTP 429 Too Many Requests", Retryable: true}},
		"429 Retry-After is below 0":      {429, header{"Retry-After": "-7"}, "", want{Edge: true, Message: "HTTP 429 Too Many Requests", Retryable: true}},
		"429 Retry-After is endless":      {429, header{"Retry-After": "1e300"}, "", want{Edge: true, Message: "HTTP 429 Too Many Requests", RetryAfter: 31 * 24 * time.Hour, Retryable: true}},
		"500 masked":                      {500, nil, testdata(t, "error_500_masked.json"), want{Code: "500", Type: "server", Message: "Internal Server Error", Retryable: true}},
		"501":                             {501, nil, "", want{Message: "HTTP 501 Not Implemented"}},
		"502 plain text":                  {502, nil, "error code: 502\n", want{Message: "HTTP 502: error code: 502", Retryable: true}},
		"502 JSON of another kind":        {502, nil, `{"title":"Bad gateway","status":502}`, want{Message: "HTTP 502: Bad gateway", Retryable: true}},
		"502 HTML without a type":         {502, nil, " <html>", want{Message: "HTTP 502 with an HTML page", Retryable: true}},
		"502 not text":                    {502, nil, "\x1f\x8b\x08\xff\xfe", want{Message: "HTTP 502 with an unreadable body", Retryable: true}},
		"503 availability": {503, nil, testdata(t, "error_503_availability.json"), want{
			Type: "provider_overloaded", Message: "All providers are busy (asked for google/gemini-2.5-flash)", Availability: "temporarily_unavailable", AvailabilityRetryable: new(true),
			RetryAfter: 7 * time.Second, Retryable: true,
		}},
		"504":                               {504, nil, `{"error":{"code":504,"message":"timeout","metadata":{"error_type":"timeout"}}}`, want{Code: "504", Type: "timeout", Message: "timeout", Retryable: true}},
		"520":                               {520, nil, "", want{Message: "HTTP 520", Retryable: true}},
		"524 HTML":                          {524, header{"Content-Type": "text/html"}, testdata(t, "cloudflare_524.html"), want{Message: "HTTP 524 with an HTML page", Retryable: true}},
		"529":                               {529, nil, `{"error":{"code":529,"message":"overloaded"}}`, want{Code: "529", Message: "overloaded", Retryable: true}},
		"530 is not the edge's":             {530, nil, "", want{Message: "HTTP 530"}},
		"error null":                        {500, nil, `{"error":null,"message":"odd"}`, want{Message: "HTTP 500: odd", Retryable: true}},
		"error a string":                    {500, nil, `{"error":"boom"}`, want{Message: "boom", Retryable: true}},
		"error a number":                    {500, nil, `{"error":7}`, want{Message: "7", Retryable: true}},
		"metadata and message of odd types": {500, nil, `{"error":{"code":null,"message":{"a":1},"metadata":[],"availability":"no"}}`, want{Message: `{"a":1}`, Retryable: true}},
		"raw an object":                     {502, nil, `{"error":{"message":"Provider returned error","metadata":{"raw":{"detail":"disk full"}}}}`, want{Message: "Provider returned error: disk full", Relayed: true, Retryable: true}},
		"raw an HTML page":                  {502, nil, `{"error":{"message":"","metadata":{"raw":"<html>..."}}}`, want{Message: "Provider returned error: an HTML page", Relayed: true, Retryable: true}},
		"raw without an own message":        {502, nil, `{"error":{"message":"Provider returned error","metadata":{"raw":"{\"a\":1}"}}}`, want{Message: `Provider returned error: {"a":1}`, Relayed: true, Retryable: true}},
		"raw left out":                      {502, nil, `{"error":{"message":"Provider returned error."}}`, want{Message: "Provider returned error.", Relayed: true, Retryable: true}},
		"message of several lines":          {500, nil, `{"error":{"message":" a\r\n\tb\u0000\u001b[31m c "}}`, want{Message: "a b [31m c", Retryable: true}},
		"message without end":               {500, nil, `{"error":{"message":"` + strings.Repeat("é", 900) + `"}}`, want{Message: strings.Repeat("é", 499) + "…", Retryable: true}},
		"body without end":                  {500, nil, strings.Repeat("e", 1<<20), want{Message: "HTTP 500: " + strings.Repeat("e", 489) + "…", Retryable: true}},
		"generation id in the header":       {500, header{"X-Generation-Id": "gen-7"}, "", want{Message: "HTTP 500 Internal Server Error", GenerationID: "gen-7", Retryable: true}},
		"redirect":                          {307, header{"Location": "https://u:p@evil.example:8443/steal?key=1"}, "", want{Message: "HTTP 307: a redirect to evil.example:8443, which is not followed"}},
		"redirect to the same host":         {301, header{"Location": "/v2"}, "", want{Message: "HTTP 301: a redirect to the same host, which is not followed"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				canned := reply{status: tt.status, header: tt.header, steps: text(tt.body).steps}
				got := ask(t, newClient(t, openrouter.Config{Transport: canned.transport(t)}))
				tt.want.Kind, tt.want.Status = openrouter.KindStatus, tt.status
				if diff := cmp.Diff(&tt.want, got.err, facts()); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestEdgeStatusesAreTransient has responses without OpenRouter's error object: a 4xx is then not OpenRouter's, and passes as an
// outage does.
func TestEdgeStatusesAreTransient(t *testing.T) {
	t.Parallel()
	for status := 300; status < 600; status++ {
		retryable := status/100 == 4 || status == 500 || status >= 502 && status <= 504 || status >= 520 && status <= 529
		got := ask(t, newClient(t, openrouter.Config{Transport: reply{status: status}.transport(t)}))
		if got.err == nil || got.err.Retryable != retryable || got.err.Status != status || got.err.Edge != (status/100 == 4) {
			t.Errorf("status %d: got %+v, want retryable %v", status, got.err, retryable)
		}
	}
}

// TestLongErrorIsOpenRouters has an error object that is longer than what is read of it, as one that quotes the request: it is no
// outage.
func TestLongErrorIsOpenRouters(t *testing.T) {
	t.Parallel()
	body := `{"error":{"code":400,"message":"bad: ` + strings.Repeat("x", 1<<20) + `"}}`
	got := ask(t, newClient(t, openrouter.Config{Transport: reply{status: 400, steps: text(body).steps}.transport(t)}))
	if got.err == nil || got.err.Edge || got.err.Retryable {
		t.Errorf("got %+v", got.err)
	}
}

// TestTypesStandForStatuses has errors in a 200 that name no number.
func TestTypesStandForStatuses(t *testing.T) {
	t.Parallel()
	statuses := map[int]string{
		400: "invalid_request invalid_prompt context_length_exceeded max_tokens_exceeded token_limit_exceeded string_too_long content_policy_violation refusal invalid_image image_too_large image_too_small unsupported_image_format image_download_failed model_not_found wrong_endpoint",
		401: "authentication", 402: "payment_required", 403: "permission_denied moderation guardrail region_restricted",
		404: "not_found image_not_found no_endpoints model_deprecated model_unavailable_upstream privacy_restricted constraint_filtered free_variant_ended",
		409: "conflict", 412: "precondition_failed", 413: "payload_too_large", 422: "unprocessable", 429: "rate_limit_exceeded capacity_exhausted",
		500: "server server_error unmapped", 502: "provider_unavailable", 503: "provider_overloaded temporarily_unavailable", 504: "timeout", 0: "surprise",
	}
	for status, names := range statuses {
		for name := range strings.FieldsSeq(names) {
			for _, object := range []string{
				`{"code":"` + name + `"}`, `{"code":7,"error_type":"` + name + `"}`, `{"metadata":{"error_type":"` + name + `"}}`,
				`{"availability":{"code":"` + name + `"}}`, fmt.Sprintf(`{"code":"odd","http_status":%d,"error_type":"%s"}`, status, name),
			} {
				e := ask(t, newClient(t, openrouter.Config{Transport: text(data(`{"error":` + object + `}`)).transport(t)})).err
				if e == nil || e.Kind != openrouter.KindStatus || e.Status != status {
					t.Errorf("%s: got %+v, want status %d", object, e, status)
				}
			}
		}
	}
}

// TestErrorQuestions asks each question about each error that might be confused with another.
func TestErrorQuestions(t *testing.T) {
	t.Parallel()
	named := func(status int, errorType, message, metadata string) reply {
		return reply{status: status, steps: text(`{"error":{"message":"` + message + `","error_type":"` + errorType + `","metadata":{` + metadata + `}}}`).steps}
	}
	file := func(status int, name string) reply {
		return reply{status: status, steps: text(testdata(t, name)).steps}
	}
	tests := map[string]struct {
		reply reply
		want  string
	}{
		"key limit by its text":                {file(403, "error_403_key_limit.json"), "key limit"},
		"key limit as a 402":                   {named(402, "", "", `"limit_source":"openrouter_key_limit"`), "key limit"},
		"guardrail budget":                     {named(403, "guardrail", "spent", `"limit_source":"openrouter_guardrail_budget"`), "key limit"},
		"workspace budget":                     {named(403, "", "spent", `"limit_source":"openrouter_workspace_budget"`), "key limit"},
		"credit of the account":                {file(402, "error_402_credits.json"), ""},
		"provider's key limit":                 {named(403, "", "Key limit exceeded", `"raw":"x"`), ""},
		"moderation":                           {file(403, "error_403_moderation.json"), "moderation"},
		"moderation by its text":               {named(403, "", "Your input was flagged for violence", ""), "moderation"},
		"guardrail":                            {file(403, "error_403_guardrail.json"), "moderation"},
		"content policy":                       {named(400, "content_policy_violation", "no", ""), "moderation"},
		"reasons alone":                        {named(403, "", "no", `"reasons":["violence"]`), "moderation"},
		"patterns alone":                       {named(403, "", "no", `"patterns":["card"]`), "moderation"},
		"flagged input alone":                  {named(403, "", "no", `"flagged_input":"x"`), "moderation"},
		"in flight without a reason or a wait": {named(402, "", "m", `"limit_source":"openrouter_in_flight_budget"`), ""},
		"region":                               {named(403, "region_restricted", "not in your country", ""), ""},
		"context length":                       {named(400, "context_length_exceeded", "too long", ""), "context length"},
		"context length by its text":           {named(400, "", "This endpoint's maximum context length is 1048576 tokens.", ""), "context length"},
		"context length in Google's":           {named(400, "", "Provider returned error", `"raw":"{\"error\":{\"message\":\"The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).\"}}"`), "context length"},
		"in flight":                            {file(402, "error_402_in_flight.json"), "in flight"},
		"in flight without a reason":           {reply{status: 402, header: map[string]string{"Retry-After": "1"}, steps: named(402, "", "m", `"limit_source":"openrouter_in_flight_budget"`).steps}, "in flight"},
		"weight":                               {file(402, "error_402_weight.json"), ""},
		"weight with a Retry-After":            {reply{status: 402, header: map[string]string{"Retry-After": "1"}, steps: file(402, "error_402_weight.json").steps}, ""},
		"free tier of the day":                 {file(429, "error_429_daily.json"), "daily"},
		"rate limit":                           {file(429, "error_429_platform.json"), ""},
		"user not found":                       {file(401, "error_401_user_not_found.json"), ""},
		"cut is none of these":                 {text(""), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ask(t, newClient(t, openrouter.Config{Transport: tt.reply.transport(t)})).err
			answers := map[string]bool{
				"key limit": e.KeyLimit(), "moderation": e.Moderation(), "context length": e.ContextLength(),
				"in flight": e.InFlightBudget(), "daily": e.FreeTierDaily(),
			}
			for question, got := range answers {
				if got != (question == tt.want) {
					t.Errorf("%s: got %v for %v", question, got, e)
				}
			}
		})
	}
}

// TestLimits tells the limits of a model from those of the account, and reads what the credit affords.
func TestLimits(t *testing.T) {
	t.Parallel()
	const afford = "This request requires more credits, or fewer max_tokens. You requested up to 8192 tokens, but can only afford "
	tests := map[string]struct {
		status            int
		message, metadata string
		model             bool
		affords           int
	}{
		"platform":                          {429, "Rate limit exceeded: limit_rpm", `"limit_source":"openrouter_shared_capacity"`, false, 0},
		"platform, with a provider's name":  {429, "m", `"limit_source":"openrouter_key_limit","provider_name":"Google"`, false, 0},
		"platform, nothing known":           {429, "m", `"provider_name":null`, false, 0},
		"platform's for one model":          {429, "Rate limit exceeded: limit_rpm/google/gemini-2.5-flash/1", "", true, 0},
		"high demand for one model":         {429, "High demand for google/gemma-4 on OpenRouter - limited to 20 requests per minute", "", true, 0},
		"free models, a minute":             {429, "Rate limit exceeded: free-models-per-min", `"limit_source":"openrouter_free_tier"`, true, 0},
		"a provider's name":                 {429, "m", `"provider_name":"Google"`, true, 0},
		"a provider's own words":            {429, "Provider returned error", `"raw":"busy"`, true, 0},
		"a provider's pool":                 {429, "m", `"limit_source":"upstream_provider_shared_pool"`, true, 0},
		"503 of a provider":                 {503, "m", `"provider_name":"Google"`, false, 0},
		"credit for some tokens":            {402, afford + "600. To increase, visit https://openrouter.ai", `"provider_name":null`, false, 600},
		"with a separator":                  {402, afford + "12,345.", "", false, 12345},
		"at the end":                        {402, afford + "7", "", false, 7},
		"the same of a key's limit":         {403, afford + "600.", `"limit_source":"openrouter_key_limit"`, false, 600},
		"for none":                          {402, afford + "0.", "", false, 0},
		"for a number that is none":         {402, afford + "99999999999999999999.", "", false, 0},
		"for no number":                     {402, afford + "little", "", false, 0},
		"a provider's, who has no contract": {402, afford + "600.", `"raw":"x"`, false, 0},
		"no 402":                            {400, afford + "600.", "", false, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			re := reply{status: tt.status, steps: text(`{"error":{"message":"` + tt.message + `","metadata":{` + tt.metadata + `}}}`).steps}
			e := ask(t, newClient(t, openrouter.Config{Transport: re.transport(t)})).err
			if e.ModelLimit() != tt.model || e.Affords() != tt.affords {
				t.Errorf("got %v, %d tokens, want %v, %d, of %v", e.ModelLimit(), e.Affords(), tt.model, tt.affords, e)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	status := ask(t, newClient(t, openrouter.Config{Transport: reply{status: http.StatusConflict}.transport(t)})).err
	if got, want := status.Error(), "openrouter: status 409: HTTP 409 Conflict"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cut := ask(t, newClient(t, openrouter.Config{Transport: text("").transport(t)})).err
	if got, want := cut.Error(), "openrouter: cut: the response ended before the answer did"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
