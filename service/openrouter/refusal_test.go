package openrouter_test

import (
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// TestRefusals asks why OpenRouter had no endpoint, and which model it calls gone: of several it may be any.
func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		error  string
		want   openrouter.Refusal
		model  string
	}{
		"no endpoints":                {404, `"code":404,"message":"No endpoints found for google/a."`, openrouter.RefusalGone, "google/a"},
		"no endpoints, no full stop":  {404, `"code":404,"message":"No endpoints found for google/a:free"`, openrouter.RefusalGone, "google/a:free"},
		"a version in the name":       {404, `"code":404,"message":"No endpoints found for google/gemini-2.5-flash. To learn more, read on"`, openrouter.RefusalGone, "google/gemini-2.5-flash"},
		"no valid model":              {400, `"code":400,"message":"google/a is not a valid model ID"`, openrouter.RefusalGone, "google/a"},
		"no valid model, in the text": {400, `"code":400,"message":"tools: google/a is not a valid model ID"`, openrouter.RefusalNone, ""},
		"a provider's words":          {400, `"code":400,"message":"Provider returned error","metadata":{"raw":"google/a is not a valid model ID"}`, openrouter.RefusalNone, ""},
		"a code, of one model":        {404, `"message":"m","availability":{"code":"model_deprecated","requested_models":["google/a"]}`, openrouter.RefusalGone, "google/a"},
		"a code, of two models":       {404, `"message":"m","availability":{"code":"model_deprecated","requested_models":["google/a","google/b"]}`, openrouter.RefusalGone, ""},
		"a code, of two, and words":   {404, `"message":"No endpoints found for google/b.","availability":{"code":"no_endpoints","requested_models":["google/a","google/b"]}`, openrouter.RefusalGone, "google/b"},
		"a code before words":         {404, `"message":"No endpoints found for google/a.","availability":{"code":"privacy_restricted"}`, openrouter.RefusalPolicy, ""},
		"gone, but retryable":         {404, `"message":"m","availability":{"code":"no_endpoints","retryable":true}`, openrouter.RefusalAway, ""},
		"all excluded by the request": {404, `"message":"No endpoints found for google/a.","availability":{"code":"no_endpoints","excluded_by":["allowed_providers"],"requested_models":["google/a"]}`, openrouter.RefusalConstraint, ""},
		"all excluded by a policy":    {404, `"message":"m","availability":{"code":"no_endpoints","excluded_by":["data_policy:zdr","max_price"]}`, openrouter.RefusalPolicy, ""},
		"all excluded by the place":   {404, `"message":"m","availability":{"code":"no_endpoints","excluded_by":["geo"]}`, openrouter.RefusalRegion, ""},
		"nothing is excluded":         {404, `"message":"m","availability":{"code":"no_endpoints","excluded_by":[]}`, openrouter.RefusalGone, ""},
		"error before metadata":       {404, `"message":"m","availability":{"code":"region_restricted"},"metadata":{"availability":{"code":"no_endpoints"}}`, openrouter.RefusalRegion, ""},
		"metadata, if error has none": {404, `"message":"m","availability":{},"metadata":{"availability":{"code":"no_endpoints"}}`, openrouter.RefusalGone, ""},
		"an image that is not found":  {404, `"code":404,"message":"m","metadata":{"error_type":"image_not_found"}`, openrouter.RefusalNone, ""},
		"a new code, 400":             {400, `"message":"m","availability":{"code":"new"}`, openrouter.RefusalAway, ""},
		"a new code, 403":             {403, `"message":"m","availability":{"code":"new"}`, openrouter.RefusalPolicy, ""},
		"a new code, 503":             {503, `"message":"m","availability":{"code":"new"}`, openrouter.RefusalNone, ""},
		"at capacity":                 {429, `"message":"m","availability":{"code":"capacity_exhausted"}`, openrouter.RefusalNone, ""},
		"no providers left":           {404, `"code":404,"message":"No allowed providers are available for the selected model."`, openrouter.RefusalConstraint, ""},
		"some other 404":              {404, `"code":404,"message":"m"`, openrouter.RefusalAway, ""},
		"503 with the words of a 404": {503, `"code":503,"message":"No endpoints found for google/a."`, openrouter.RefusalNone, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ask(t, newClient(t, openrouter.Config{Transport: reply{status: tt.status, steps: text(`{"error":{` + tt.error + `}}`).steps}.transport(t)})).err
			if e.Refusal() != tt.want || e.Model != tt.model {
				t.Errorf("got %q, model %q, want %q, %q, of %v", e.Refusal(), e.Model, tt.want, tt.model, e)
			}
		})
	}
	page := reply{status: 404, steps: text("<html>No endpoints found for google/a.</html>").steps}
	if e := ask(t, newClient(t, openrouter.Config{Transport: page.transport(t)})).err; e.Refusal() != openrouter.RefusalNone {
		t.Errorf("a page of the edge: got %q", e.Refusal())
	}
}

// TestHintsAreBounded has lists without end beside a message without end: both are told, the message gives way.
func TestHintsAreBounded(t *testing.T) {
	t.Parallel()
	body := `{"error":{"message":"` + strings.Repeat("é", 900) + `","code":404,"availability":{"code":"no_endpoints","fallback_models":[` +
		strings.Repeat(`"google/é",`, 300) + `"google/x"]}}}`
	e := ask(t, newClient(t, openrouter.Config{Transport: reply{status: 404, steps: text(body).steps}.transport(t)})).err
	want := " (OpenRouter suggests " + strings.Repeat("google/é, ", 5) + "…)"
	if len([]rune(e.Message)) != 500 || !strings.HasSuffix(e.Message, "é…"+want) {
		t.Errorf("got %d characters: %s", len([]rune(e.Message)), e.Message)
	}
}
