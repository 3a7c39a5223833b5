package telemetry

import (
	"fmt"
	"strings"
	"testing"
)

// The first hundred tenants have a label of their own, the default one among them
// whatever else comes first; all others share one.
func TestTenantLabelIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	for n := range 2 * maxTenants {
		name := fmt.Sprint("t-", n)
		b.Instruments.Charged(t.Context(), name, "m", 1)
		b.Instruments.RequestSettled(t.Context(), name, outcome("completed"), "", "m")
		b.Instruments.CallFinished(t.Context(), name, "success", "m")
		b.Instruments.TokensUsed(t.Context(), name, 1, 1)
	}
	b.Instruments.Charged(t.Context(), "", "m", 1)
	text := b.scrape(t, "text/plain")
	for metric, lines := range map[string]int{"gemini_cost_total": 101, "gemini_requests_total": 100, "gemini_calls_total": 100, "gemini_tokens_total": 200} {
		if got := strings.Count(text, "\n"+metric+"{"); got != lines {
			t.Errorf("%s: %d series, want %d", metric, got, lines)
		}
	}
	for _, want := range []string{
		`gemini_cost_total{gen_ai_request_model="m",tenant="t-98"} 1`, fmt.Sprintf(`gemini_cost_total{gen_ai_request_model="m",tenant="other"} %d`, maxTenants+1),
		`gemini_cost_total{gen_ai_request_model="m",tenant="default"} 1`, fmt.Sprintf(`gemini_tokens_total{tenant="other",type="output"} %d`, maxTenants+1),
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("scrape lacks %s", want)
		}
	}
}
