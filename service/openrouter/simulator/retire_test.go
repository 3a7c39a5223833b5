package simulator_test

import (
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

func TestRetire(t *testing.T) {
	t.Parallel()
	const old, next = "google/gemini-2.5-flash", "google/gemini-3.5-flash-lite"
	for name, tt := range map[string]struct {
		how     simulator.Retirement
		status  int
		body    string // alone
		covered bool   // the next of models answers
		listed  bool   // in the catalogue
	}{
		"no endpoints": {simulator.RetiredNoEndpoints, 404, `{"error":{"code":404,"message":"No endpoints found for ` + old + `."},"user_id":"user_simulator"}`, false, true},
		"unknown":      {simulator.RetiredUnknown, 400, `{"error":{"code":400,"message":"` + old + ` is not a valid model ID"},"user_id":"user_simulator"}`, false, false},
		"availability": {simulator.RetiredDeprecated, 404, `"availability":{"code":"model_deprecated","retryable":false,"requested_models":["` + old, false, true},
		"in metadata":  {simulator.RetiredDeprecatedMetadata, 404, `"metadata":{"availability":{"code":"model_deprecated"`, false, true},
		"by models":    {simulator.RetiredSilently, 404, `"message":"No endpoints found for ` + old + `."`, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Config{})
			list := fields{"models": []string{old, next}}
			if got := parse[whole](t, b.chat(t, "why?", list).body).Model; got != old {
				t.Errorf("before: answered by %q", got)
			}
			b.Retire(old, tt.how)
			if got := b.chat(t, "why?", nil); got.status != tt.status || !strings.Contains(got.body, tt.body) {
				t.Errorf("alone: got %d %s", got.status, got.body)
			}
			got := b.chat(t, "why?", list)
			if covered := got.status == 200 && parse[whole](t, got.body).Model == next+"-20260721"; covered != tt.covered {
				t.Errorf("in a list: got %d %s", got.status, got.body)
			}
			if got := b.chat(t, "why?", fields{"model": next, "models": []string{next, old}}); got.status != 200 {
				t.Errorf("behind a live one: got %d %s", got.status, got.body)
			}
			if listed := strings.Contains(b.get(t, "/api/v1/models", "").body, `"`+old+`"`); listed != tt.listed {
				t.Errorf("in the catalogue: got %v, want %v", listed, tt.listed)
			}
			b.Retire(next, tt.how)
			if got := b.chat(t, "why?", list); got.status != tt.status {
				t.Errorf("both are retired: got %d %s", got.status, got.body)
			}
			b.Restore(old)
			if got := b.chat(t, "why?", nil); got.status != 200 {
				t.Errorf("it is back: got %d %s", got.status, got.body)
			}
		})
	}
}

func TestAtMostThreeModels(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	if got := b.chat(t, "why?", fields{"models": []string{"google/a", "google/b", "google/c"}}); got.status != 200 {
		t.Errorf("three: got %d %s", got.status, got.body)
	}
	got := b.chat(t, "why?", fields{"models": []string{"google/a", "google/b", "google/c", "google/a"}})
	if got.status != 400 || !strings.Contains(got.body, "'models' array must have 3 items or fewer.") {
		t.Errorf("four: got %d %s", got.status, got.body)
	}
}
