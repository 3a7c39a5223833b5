package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/service/openrouter/simulator"
)

// theirs is a fault of OpenRouter or of a provider that a short wait heals.
func theirs(code events.Code) *Error { return &Error{Code: code, Heals: Soon, health: healthBad} }

// late is an answer that did not come in time: the model's fault, if OpenRouter
// is there.
func late() *Error { return &Error{Code: events.UpstreamTimeout, Heals: Soon, health: healthSlow} }

// provided is a fault of the model's provider that a short wait heals.
func provided(code events.Code) *Error { return &Error{Code: code, Heals: Soon, health: healthModel} }

// never is a fault that no wait heals.
func never(code events.Code) *Error { return &Error{Code: code, Heals: Never} }

// ours is an end that we made, which says nothing about OpenRouter.
func ours(code events.Code) *Error {
	return &Error{Code: code, Heals: Never, health: healthUnknown}
}

// asks is a fault with the wait that was asked for.
func asks(e *Error, wait time.Duration) *Error {
	asking := *e
	asking.Wait = wait
	return &asking
}

// The classes of everything that the simulator can do to a call, as the real
// client reports it. Each row says why.
func TestClassifySimulatedFaults(t *testing.T) {
	t.Parallel()
	unavailable, late, invalid := theirs(events.UpstreamUnavailable), theirs(events.UpstreamTimeout), theirs(events.UpstreamInvalidResponse)
	garbled := &Error{Code: events.UpstreamInvalidResponse, Heals: Soon} // an answer came: OpenRouter is up
	busy := &Error{Code: events.RateLimited, Heals: Soon}                // the provider's pool: no key of ours is the matter
	resting := &Error{Code: events.RateLimited, Heals: Soon, key: keyLimited}
	full := &Error{Code: events.RateLimited, Heals: Soon, key: keyModelLimited} // the model's providers
	refused := &Error{Code: events.Unauthorized, Heals: Soon, key: keyRefused}
	spent := &Error{Code: events.InsufficientCredits, Heals: Soon, key: keySpent}
	tests := map[string]struct {
		fault string
		want  *Error
	}{
		// 400: no, for the request has to change
		"invalid request":                            {"400", never(events.InvalidRequest)},
		"400 with a provider's raw text":             {"400_provider", never(events.InvalidRequest)},
		"context length":                             {"context_length", never(events.ContextLengthExceeded)},
		"no models provided, though one was: passes": {"no_models", garbled},
		"model_not_found is a 400 about the model":   {"model_not_found", never(events.ModelUnavailable)},
		"wrong_endpoint is a 400 about the model":    {"wrong_endpoint", never(events.ModelUnavailable)},
		// 401: valid keys got it in outages, so another key, or this one once more
		"user not found":                         {"401", refused},
		"no auth credentials":                    {"401 text=credentials", refused},
		"missing authentication header":          {"401 text=header", refused},
		"401 of the provider, not about our key": {"401_provider", &Error{Code: events.UpstreamUnavailable, Heals: Soon}},
		// 402: only in_flight_budget_exhausted passes with the same key
		"no credit":                            {"402", spent},
		"credit for fewer tokens only":         {"402_afford", &Error{Code: events.InsufficientCredits, Heals: Soon, key: keyDear}},
		"in-flight budget passes":              {"402_in_flight", asks(resting, 5*time.Second)},
		"in-flight budget with another wait":   {"402_in_flight retry_after=9", asks(resting, 9*time.Second)},
		"in-flight budget without a wait":      {"402_in_flight_silent", &Error{Code: events.RateLimited, Heals: Later, key: keyLimited}},
		"one call above the budget: permanent": {"402_weight", never(events.InsufficientCredits)},
		// 403: no; but a spent key is not about the request
		"moderation":                             {"403_moderation", never(events.ContentFiltered)},
		"guardrail":                              {"403_guardrail", never(events.ContentFiltered)},
		"key limit, which is a 403 in the field": {"403_key_limit", spent},
		"region: another key opens no door":      {"region_restricted", never(events.ModelUnavailable)},
		"budget of the workspace":                {"403_workspace_budget", spent},
		"budget of a guardrail":                  {"403_guardrail_budget", spent},
		// 404: no
		"no endpoint supports tools":    {"404", never(events.ModelUnavailable)},
		"no endpoint, in its old words": {"404_gone", never(events.ModelUnavailable)},
		"no model, in its old words":    {"400_gone", never(events.ModelUnavailable)},
		"the Batch API's model":         {"404_batch", never(events.InvalidRequest)},
		"guardrail, in its old words":   {"404_guardrail", never(events.ModelUnavailable)},
		"data policy, in its old words": {"404_data_policy", never(events.ModelUnavailable)},
		"too many models":               {"400_models", never(events.InvalidRequest)},
		"no endpoints":                  {"no_endpoints", never(events.ModelUnavailable)},
		"model deprecated":              {"model_deprecated", never(events.ModelUnavailable)},
		"model gone upstream":           {"model_unavailable_upstream", never(events.ModelUnavailable)},
		"data policy":                   {"privacy_restricted", never(events.ModelUnavailable)},
		"constraint":                    {"constraint_filtered", never(events.ModelUnavailable)},
		"free variant ended":            {"free_variant_ended", never(events.ModelUnavailable)},
		// 408 yes; 409, 412, 413, 422 no
		"408":                   {"408", late},
		"409":                   {"409", never(events.InvalidRequest)},
		"412":                   {"412", never(events.InvalidRequest)},
		"413":                   {"413", never(events.PayloadTooLarge)},
		"422":                   {"422", never(events.InvalidRequest)},
		"a status nobody knows": {"status code=418", never(events.InvalidRequest)},
		// without OpenRouter's error object it is not OpenRouter that answers, so it is an outage, whatever the status
		"400 of the edge":                 {"status code=400 body=html", unavailable},
		"401 of the edge, not of our key": {"status code=401 body=html", unavailable},
		"402 of the edge":                 {"status code=402 body=text", unavailable},
		"403 of the edge: we are blocked": {"status code=403 body=html", unavailable},
		"404 of the edge, not of a model": {"status code=404 body=html", unavailable},
		"405 of the edge":                 {"status code=405 body=text", unavailable},
		"409 of the edge":                 {"status code=409 body=html", unavailable},
		"413 of the edge":                 {"status code=413 body=html", unavailable},
		"418 of the edge":                 {"status code=418 body=empty", unavailable},
		"421 of the edge":                 {"status code=421 body=html", unavailable},
		"425 of the edge":                 {"status code=425 body=empty", unavailable},
		"429 of the edge, not of our key": {"status code=429 body=html", unavailable},
		"429 of the edge with a wait":     {"status code=429 body=html retry_after=7", asks(unavailable, 7*time.Second)},
		"451 of the edge":                 {"status code=451 body=html", unavailable},
		"408 of the edge":                 {"status code=408 body=html", late},
		// 429: yes with wait, not for the free tier's day
		"platform limit, Reset in milliseconds":  {"429_platform reset=30s", asks(resting, 30*time.Second)},
		"with Retry-After":                       {"429 retry_after=3", asks(full, 3*time.Second)},
		"of the provider without Retry-After":    {"429_provider", busy},
		"of a provider that names no time":       {"429", busy},
		"not known to be the provider's":         {"status code=429", resting},
		"all providers at capacity":              {"capacity_exhausted", asks(full, 40*time.Second)},
		"free tier's day: only free models wait": {"free_tier_daily", &Error{Code: events.RateLimited, Heals: Later, Wait: untilMidnight(time.Now())}},
		// 5xx: yes
		"500":                       {"500", unavailable},
		"502":                       {"502", provided(events.UpstreamUnavailable)},
		"502 as a page of the edge": {"502_html", unavailable},
		"503":                       {"503", unavailable},
		"503 with Retry-After":      {"503 retry_after=45", asks(unavailable, 45*time.Second)},
		"temporarily unavailable":   {"temporarily_unavailable retry_after=2", asks(provided(events.UpstreamUnavailable), 2*time.Second)},
		"504":                       {"504", late},
		"520":                       {"520", unavailable},
		"522":                       {"522", late},
		"524":                       {"524", late},
		"529":                       {"529 retry_after=1", asks(provided(events.UpstreamUnavailable), time.Second)},
		"501 does not pass soon":    {"status code=501", &Error{Code: events.UpstreamUnavailable, Heals: Later, health: healthBad}},
		// 200 with an error in it
		"200 and an error body":                {"200_error", provided(events.UpstreamUnavailable)},
		"200 and a provider's 401 in the body": {"200_error code=401", &Error{Code: events.UpstreamUnavailable, Heals: Soon}},
		"first event is an error":              {"first_event_error", provided(events.UpstreamUnavailable)},
		"error code in words":                  {"first_event_error code=server_error", provided(events.UpstreamUnavailable)},
		"error code nobody knows":              {"first_event_error code=odd", garbled},
		"error in mid-stream":                  {"mid_error code=504", provided(events.UpstreamTimeout)},
		"429 in mid-stream":                    {"mid_error code=429", busy},
		"error in the choice":                  {"choice_error", provided(events.UpstreamUnavailable)},
		"finish_reason error, no object":       {"finish_error", garbled},
		"empty answer":                         {"empty", garbled},
		"empty answer without finish_reason":   {"empty finish=null", garbled},
		"nothing but whitespace":               {"blank", invalid},
		// connections
		"closed without an answer":              {"refuse", unavailable},
		"reset in the stream":                   {"reset", invalid},
		"cut in an event":                       {"cut", invalid},
		"cut with a clean end":                  {"cut how=eof", invalid},
		"end without finish_reason":             {"truncate", invalid},
		"redirect: a wrong base URL or a proxy": {"redirect", &Error{Code: events.UpstreamUnavailable, Heals: Later}},
	}
	c := newSimulated(t, openrouter.Config{})
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.fail(t, "[sim:"+tt.fault+"]")
			sameClass(t, tt.fault, classify(err), tt.want)
			if text := classify(err).Message; strings.HasSuffix(text, "..") || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: text does not end as a sentence: %q", tt.fault, text)
			}
		})
	}
}

// Shapes of errors that the simulator does not have, read by the real client.
func TestClassifyOtherShapes(t *testing.T) {
	t.Parallel()
	spent := &Error{Code: events.InsufficientCredits, Heals: Soon, key: keySpent}
	tests := map[string]struct {
		status int
		body   string
		want   *Error
	}{
		"402 key cap, as limits.mdx has it":   {402, `{"error":{"code":402,"message":"spent","metadata":{"limit_source":"openrouter_key_limit"}}}`, spent},
		"403 guardrail budget":                {403, `{"error":{"code":403,"message":"spent","metadata":{"limit_source":"openrouter_guardrail_budget"}}}`, spent},
		"403 workspace budget":                {403, `{"error":{"code":403,"message":"spent","metadata":{"limit_source":"openrouter_workspace_budget"}}}`, spent},
		"403 key limit by its words":          {403, `{"error":{"code":403,"message":"Key limit exceeded (daily limit)."}}`, spent},
		"403 without a reason":                {403, `{"error":{"code":403,"message":"Forbidden"}}`, never(events.Unauthorized)},
		"404 that OpenRouter calls retryable": {404, `{"error":{"message":"m","http_status":404,"availability":{"code":"no_endpoints","retryable":true,"retry_after":4}}}`, &Error{Code: events.ModelUnavailable, Heals: Soon, Wait: 4 * time.Second}},
		"503 that it calls not retryable":     {503, `{"error":{"message":"m","http_status":503,"availability":{"code":"temporarily_unavailable","retryable":false}}}`, &Error{Code: events.UpstreamUnavailable, Heals: Later, health: healthModel}},
		"429 that it calls not retryable":     {429, `{"error":{"message":"m","http_status":429,"availability":{"code":"capacity_exhausted","retryable":false,"retry_after":90}}}`, &Error{Code: events.RateLimited, Heals: Later, Wait: 90 * time.Second, key: keyModelLimited}},
		"429 of the shared pool":              {429, `{"error":{"code":429,"message":"m","metadata":{"limit_source":"openrouter_shared_capacity"}}}`, &Error{Code: events.RateLimited, Heals: Soon}},
		"429 of the free tier by its words":   {429, `{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day-high-balance"}}`, &Error{Code: events.RateLimited, Heals: Later, Wait: untilMidnight(time.Now())}},
		"400 content policy":                  {400, `{"error":{"code":400,"message":"no","metadata":{"error_type":"content_policy_violation"}}}`, never(events.ContentFiltered)},
		"400 max tokens":                      {400, `{"error":{"code":400,"message":"no","metadata":{"error_type":"max_tokens_exceeded"}}}`, never(events.ContextLengthExceeded)},
		"403 of a gateway, as JSON":           {403, `{"message":"Forbidden"}`, theirs(events.UpstreamUnavailable)},
		"403 of an ingress, as JSON":          {403, `{"error":"forbidden"}`, theirs(events.UpstreamUnavailable)},
		"400 with an empty object":            {400, `{"error":{}}`, theirs(events.UpstreamUnavailable)},
		"404 that quotes a phrase of ours":    {404, "<html>key limit exceeded, context length, requires moderation</html>", theirs(events.UpstreamUnavailable)},
		"524 in plain text":                   {524, "error code: 524", theirs(events.UpstreamTimeout)},
		"200 with a page":                     {200, "<html>login</html>", &Error{Code: events.UpstreamInvalidResponse, Heals: Soon}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := openrouter.New(openrouter.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tt.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(tt.body)), Request: r}, nil
			})})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Complete(t.Context(), "key", &openrouter.Request{Model: "m", Messages: json.RawMessage(`[{"role":"user","content":"hi"}]`)}, nil)
			sameClass(t, fmt.Sprint(tt.status, " ", tt.body), classify(err), tt.want)
		})
	}
}

// sameClass compares all but the texts, and waits to a tenth: some count down.
func sameClass(t *testing.T, input string, got, want *Error) {
	t.Helper()
	if got.Message == "" || got.log == "" || strings.ContainsAny(got.Message+got.log, "{}") && !strings.ContainsAny(input, "{}") {
		t.Errorf("%s: texts for people: %q, %q", input, got.Message, got.log)
	}
	wait := got.Wait
	if wait <= want.Wait && wait > want.Wait-want.Wait/10 {
		wait = want.Wait
	}
	if got.Code != want.Code || got.Heals != want.Heals || wait != want.Wait || got.health != want.health || got.key != want.key {
		t.Errorf("%s:\n got %+v\nwant %+v", input, got, want)
	}
}

// simulated is the real client before a real simulator.
type simulated struct{ *openrouter.Client }

func newSimulated(t *testing.T, config openrouter.Config) simulated {
	t.Helper()
	sim := simulator.New(simulator.Config{})
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	base, err := url.Parse(server.URL + "/api/v1")
	if err != nil {
		t.Fatal(err)
	}
	config.BaseURL = base
	client, err := openrouter.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return simulated{client}
}

func (c simulated) ask(ctx context.Context, key, prompt string) error {
	_, err := c.Complete(ctx, key, &openrouter.Request{
		Model: "google/gemini-2.5-flash", MaxTokens: 8192,
		Prompt: prompt,
	}, nil)
	return err
}

func (c simulated) fail(t *testing.T, prompt string) error {
	t.Helper()
	err := c.ask(t.Context(), "sk-or-test", prompt)
	if err == nil {
		t.Fatalf("%s: an answer came, want an error", prompt)
	}
	return err
}

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
