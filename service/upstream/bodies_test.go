package upstream

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// played classifies what the real client makes of a body that a real server sends,
// with a status and perhaps a Retry-After.
func played(t *testing.T, status int, retryAfter, body string) *Error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := openrouter.New(openrouter.Config{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	_, err = client.Complete(t.Context(), "sk-or-test", new(question()), nil)
	if err == nil {
		t.Fatalf("an answer came of %s", body)
	}
	return classify(err)
}

// inStream is a 200 whose stream has an error in an event after half an answer.
func inStream(object, choices string) string {
	return `data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}` + "\n\n" +
		`data: {"error":` + object + `,"choices":` + choices + "}\n\n"
}

// Every availability code of the documentation, and one that is not in it: in both
// places, as an HTTP error and in a stream, with each value of retryable.
func TestAvailabilityCodes(t *testing.T) {
	t.Parallel()
	type row struct {
		status int
		kind   kind
		passes kind // where OpenRouter says that it is retryable
	}
	codes := map[string]row{
		"model_not_found":            {400, kindModelGone, kindModelAway},
		"wrong_endpoint":             {400, kindOtherEndpoint, kindOtherEndpoint},
		"region_restricted":          {403, kindRegionRefused, kindRegionRefused},
		"no_endpoints":               {404, kindModelGone, kindModelAway},
		"model_deprecated":           {404, kindModelGone, kindModelAway},
		"model_unavailable_upstream": {404, kindModelAway, kindModelAway},
		"privacy_restricted":         {404, kindRoutingRefused, kindRoutingRefused},
		"constraint_filtered":        {404, kindConstraintRefused, kindConstraintRefused},
		"free_variant_ended":         {404, kindModelGone, kindModelAway},
		"capacity_exhausted":         {429, kindProviderLimited, kindProviderLimited},
		"temporarily_unavailable":    {503, kindServerError, kindServerError},
		"model_paused":               {404, kindModelAway, kindModelAway},
		"org_paused":                 {403, kindRoutingRefused, kindRoutingRefused},
	}
	for code, row := range codes {
		for _, retryable := range []string{"", "false", "true"} {
			object := fmt.Sprintf(`{"code":%q,"requested_models":["google/m"],"retry_after":7.5,"docs_url":"u"}`, code)
			if retryable != "" {
				object = strings.Replace(object, `,"req`, `,"retryable":`+retryable+`,"req`, 1)
			}
			want := row.kind
			heals := Never
			switch {
			case retryable == "true":
				want, heals = row.passes, Soon
			case row.status >= 429 && retryable == "": // as the table of codes says
				heals = Soon
			case row.status >= 429:
				heals = Later
			}
			errorObjects := map[string]string{
				"error":    fmt.Sprintf(`{"message":"no","http_status":%d,"availability":%s}`, row.status, object),
				"metadata": fmt.Sprintf(`{"message":"no","code":%d,"metadata":{"availability":%s}}`, row.status, object),
			}
			for place, e := range errorObjects {
				for how, got := range map[string]*Error{
					"http":   played(t, row.status, "", `{"error":`+e+`}`),
					"stream": played(t, 200, "", inStream(e, "[]")),
				} {
					name := strings.Join([]string{code, place, how, "retryable=" + retryable}, " ")
					if got.kind != want || got.Heals != heals || got.Wait != 7500*time.Millisecond {
						t.Errorf("%s: got kind %d, heals %d, wait %v, want %d, %d, 7.5s: %s", name, got.kind, got.Heals, got.Wait, want, heals, got)
					}
					if got.Code == events.InvalidRequest || got.key != keyFine && got.key != keyModelLimited || got.health == healthBad {
						t.Errorf("%s: got %s, key %d, health %d: it is about the model", name, got.Code, got.key, got.health)
					}
					if !strings.Contains(got.Message, "asked for google/m") {
						t.Errorf("%s: the sentence does not tell what was asked for: %s", name, got)
					}
				}
			}
		}
	}
}

// What captures have instead: the bodies of models that are gone, of refusals that
// are none of the model's fault, and of budgets. Each says its own way out.
func TestCapturedBodies(t *testing.T) {
	t.Parallel()
	plain := func(status int, message string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"code":%d},"user_id":"user_1"}`, message, status)
	}
	tests := map[string]struct {
		status int
		body   string
		kind   kind
		code   events.Code
		heals  Healing
		key    keyEffect
		tells  string
	}{
		"model gone":          {404, plain(404, "No endpoints found for google/gemini-2.5-flash."), kindModelGone, events.ModelUnavailable, Never, keyFine, ""},
		"gone, with docs":     {404, plain(404, "No endpoints found for google/g:free. To learn more about provider routing, visit: https://openrouter.ai/docs"), kindModelGone, events.ModelUnavailable, Never, keyFine, ""},
		"gone, odd name":      {404, plain(404, "No endpoints found for meta-llama/guardrail-2."), kindModelGone, events.ModelUnavailable, Never, keyFine, ""},
		"gone in a 200":       {200, `{"error":{"message":"No endpoints found for google/g."},"choices":[]}`, kindModelGone, events.ModelUnavailable, Never, keyFine, ""},
		"slug unknown":        {400, plain(400, "google/gemini-2.5-flash is not a valid model ID"), kindModelGone, events.ModelUnavailable, Never, keyFine, ""},
		"a provider's 404":    {404, `{"error":{"code":404,"message":"Provider returned error","metadata":{"raw":"models/g is not found","provider_name":"Google"}}}`, kindModelAway, events.ModelUnavailable, Never, keyFine, "fallbacks"},
		"a provider's 400":    {400, `{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"m is not a valid model ID"}}}`, kindInvalidRequest, events.InvalidRequest, Never, keyFine, ""},
		"404 without a word":  {404, plain(404, "Not Found"), kindModelAway, events.ModelUnavailable, Never, keyFine, "fallbacks"},
		"Batch API":           {404, `{"error":{"message":"This model is only available through the Batch API. Use /api/v1/batches.","code":404,"metadata":{"error_type":"not_found"}}}`, kindBatchOnly, events.InvalidRequest, Never, keyFine, ":batch"},
		"account policy":      {404, plain(404, "0 endpoints out of 3 requested are available matching your guardrail restrictions."), kindRoutingRefused, events.ModelUnavailable, Never, keyFine, "guardrails of the workspace"},
		"policy, other words": {404, plain(404, "No endpoints available matching your guardrail restrictions and data policy. Configure: https://openrouter.ai/settings/privacy"), kindRoutingRefused, events.ModelUnavailable, Never, keyFine, "settings/privacy"},
		"data policy":         {404, plain(404, "No endpoints found matching your data policy."), kindRoutingRefused, events.ModelUnavailable, Never, keyFine, "settings/privacy"},
		"tools":               {404, plain(404, `No endpoints found that support tool use. Try disabling "look_up". To learn more about provider routing, visit: https://openrouter.ai/docs`), kindConstraintRefused, events.ModelUnavailable, Never, keyFine, "ask for less (tools"},
		"parameters":          {404, plain(404, "No endpoints found for google/g that can handle the requested parameters."), kindConstraintRefused, events.ModelUnavailable, Never, keyFine, "openrouter.provider"},
		"region":              {403, plain(403, "This model is not available in your region."), kindRegionRefused, events.ModelUnavailable, Never, keyFine, "HTTP_PROXY"},
		"key cap":             {403, plain(403, "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"), kindKeyCapped, events.InsufficientCredits, Soon, keySpent, "raise the key's limit"},
		"key cap in a 200":    {200, `{"error":{"message":"Key limit exceeded (daily limit)."}}`, kindKeyCapped, events.InsufficientCredits, Soon, keySpent, "raise the key's limit"},
		"workspace, monthly":  {403, plain(403, "Workspace monthly budget of $500.00 exceeded. Contact your workspace admin."), kindBudgetSpent, events.InsufficientCredits, Soon, keySpent, "wait until it resets"},
		"workspace, lifetime": {403, plain(403, "Workspace lifetime budget of $1,000 exceeded."), kindBudgetSpent, events.InsufficientCredits, Soon, keySpent, "wait until it resets"},
		"guardrail budget":    {403, `{"error":{"code":403,"message":"spent","metadata":{"limit_source":"openrouter_guardrail_budget","resets_at":"2026-12-01T00:00:00Z"}}}`, kindBudgetSpent, events.InsufficientCredits, Soon, keySpent, "resets at 2026-12-01T00:00:00Z"},
		"models too long":     {400, plain(400, "'models' array must have 3 items or fewer."), kindInvalidRequest, events.InvalidRequest, Never, keyFine, "3 items"},
		"thought signature":   {200, inStream(`{"code":400,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"Corrupted thought signature.\"}}"}}`, "[]"), kindInvalidRequest, events.InvalidRequest, Never, keyFine, "Corrupted thought signature"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := played(t, tt.status, "", tt.body)
			if got.kind != tt.kind || got.Code != tt.code || got.Heals != tt.heals || got.key != tt.key || !strings.Contains(got.Message, tt.tells) {
				t.Errorf("got kind %d, %s, heals %d, key %d, want %d, %s, %d, %d: %s", got.kind, got.Code, got.Heals, got.key, tt.kind, tt.code, tt.heals, tt.key, got)
			}
			own := waysOut[got.kind]
			if !strings.Contains(got.Message, own) || !strings.HasPrefix(got.WayOut(), own) || tt.kind != kindInvalidRequest && got.WayOut() == "" {
				t.Errorf("way out %q, sentence %q, want both to name %q", got.WayOut(), got, own)
			}
			if strings.Contains(got.Message, "user_1") {
				t.Errorf("the sentence names the account: %s", got)
			}
		})
	}
}

// Every error_type, where nothing else tells what happened: in the metadata of an
// error in a 200, in a choice and in a stream, with a code in words or in numbers.
func TestErrorTypes(t *testing.T) {
	t.Parallel()
	kinds := map[kind]string{
		kindContextLength:   "context_length_exceeded max_tokens_exceeded token_limit_exceeded string_too_long",
		kindKeyRefused:      "authentication",
		kindForbidden:       "permission_denied",
		kindKeySpent:        "payment_required",
		kindKeyLimited:      "rate_limit_exceeded",
		kindServerError:     "provider_overloaded provider_unavailable server unmapped",
		kindInvalidRequest:  "invalid_request invalid_prompt precondition_failed unprocessable invalid_image image_too_large image_too_small unsupported_image_format image_not_found image_download_failed",
		kindModelAway:       "not_found",
		kindRequestTooLarge: "payload_too_large",
		kindModeration:      "content_policy_violation refusal",
		kindServerTimeout:   "timeout",
	}
	var types int
	for want, names := range kinds {
		for name := range strings.FieldsSeq(names) {
			types++
			bare, odd := fmt.Sprintf(`{"message":"no","metadata":{"error_type":%q}}`, name), fmt.Sprintf(`{"code":"odd","message":"no","metadata":{"error_type":%q}}`, name)
			bodies := map[string]string{
				"body": `{"error":` + bare + `}`, "body with choices": `{"choices":[],"error":` + odd + `}`,
				"choice": `{"choices":[{"index":0,"message":{"content":"hel"},"finish_reason":"error","error":` + bare + `}]}`,
				"stream": inStream(odd, `[{"index":0,"delta":{"content":""},"finish_reason":"error"}]`), "stream without choices": inStream(bare, "[]"),
			}
			if name != "unmapped" { // which says nothing of a number
				bodies["number that says another thing"] = inStream(fmt.Sprintf(`{"code":418,"message":"no","metadata":{"error_type":%q}}`, name), "[]")
			}
			for how, body := range bodies {
				if got := played(t, 200, "", body); got.kind != want {
					t.Errorf("%s in a %s: got kind %d, want %d: %s", name, how, got.kind, want, got)
				}
			}
		}
	}
	if types != 27 {
		t.Errorf("got %d error types, want the 27 of ApiErrorType", types)
	}
}

// The statuses that chat completions are documented with have no error_type, as
// most errors: absence is normal. So have those of the edge, and 409 and 504, which
// are not documented.
func TestStatusesWithoutAType(t *testing.T) {
	t.Parallel()
	statuses := map[kind][]int{
		kindInvalidRequest: {400, 409, 412, 422}, kindKeyRefused: {401}, kindKeySpent: {402}, kindForbidden: {403}, kindModelAway: {404},
		kindServerTimeout: {408, 504, 522, 524}, kindRequestTooLarge: {413}, kindKeyLimited: {429}, kindServerError: {500, 502, 503, 520, 529},
	}
	for want, list := range statuses {
		for _, status := range list {
			object := fmt.Sprintf(`{"code":%d,"message":"no"}`, status)
			for _, got := range []*Error{played(t, status, "", `{"error":`+object+`}`), played(t, 200, "", inStream(object, "[]"))} {
				if got.kind != want {
					t.Errorf("%d: got kind %d, want %d: %s", status, got.kind, want, got)
				}
			}
		}
	}
	got := played(t, 200, "", inStream(`{"code":"502","message":"no"}`, "[]"))
	if got.kind != kindServerError {
		t.Errorf("code in a string: got kind %d", got.kind)
	}
}

// A 402 is waited for with a Retry-After alone.
func TestPaymentIsNotWaitedForWithoutAHint(t *testing.T) {
	t.Parallel()
	inFlight := `{"error":{"code":402,"message":"held","metadata":{"reason":"in_flight_budget_exhausted","limit_source":"openrouter_in_flight_budget"}}}`
	if got := played(t, 402, "4", inFlight); got.Heals != Soon || got.Wait != 4*time.Second || got.key != keyLimited {
		t.Errorf("with Retry-After: got heals %d, wait %v, key %d", got.Heals, got.Wait, got.key)
	}
	if got := played(t, 402, "", inFlight); got.Heals != Later || got.Wait != 0 || got.key != keyLimited || got.Code != events.RateLimited {
		t.Errorf("without: got heals %d, wait %v, key %d, %s", got.Heals, got.Wait, got.key, got.Code)
	}
	if got := played(t, 402, "", `{"error":{"code":402,"message":"Insufficient credits"}}`); got.key != keySpent || got.Code != events.InsufficientCredits {
		t.Errorf("no credit: got key %d, %s", got.key, got.Code)
	}
}

// What an error tells beside its cause is told to people, in bounds and without
// secrets, and is not taken for the cause.
func TestHintsAreTold(t *testing.T) {
	t.Parallel()
	names := `"` + strings.Repeat(`google/model-with-a-rather-long-name","`, 40) + `x"`
	body := `{"error":{"message":"` + strings.Repeat("m", 900) + `","http_status":404,"availability":{"code":"constraint_filtered","retryable":false,` +
		`"excluded_by":["max_price","data_policy:zdr"],"constraint":{"field":"max_price","detail":"context window, key limit exceeded, sk-or-v1-secret"},` +
		`"fallback_models":[` + names + `],"affected_providers":null,"requested_models":["google/m"]}}}`
	got := played(t, 404, "", body)
	for _, want := range []string{"excluded by max_price, data_policy:zdr; ", "constraint max_price: context window, key limit exceeded, [key]", "; OpenRouter suggests google/model-with"} {
		if !strings.Contains(got.Message, want) {
			t.Errorf("want %q in %s", want, got)
		}
	}
	if got.kind != kindConstraintRefused || len(got.Message) > 1000 || strings.Contains(got.Message, "secret") {
		t.Errorf("got kind %d and %d bytes: %s", got.kind, len(got.Message), got)
	}
	kinds := []kind{kindModelGone, kindModelAway}
	odd := `{"error":{"message":"No endpoints found for google/m.","code":404,"availability":{"excluded_by":"geo","constraint":[],"fallback_models":7}}}`
	if got := played(t, 404, "", odd); !slices.Contains(kinds, got.kind) {
		t.Errorf("fields of odd types: got kind %d, %s", got.kind, got)
	}
}
