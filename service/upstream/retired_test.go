package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// The ways in which OpenRouter says that a model is gone, and in which it says
// something else: the tests of this file run in bubbles.

// says answers with an error of that status and message.
func says(code int, message, fields string) reaction {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, code, fmt.Sprintf(`{"error":{"message":%q,"code":%d%s}}`, message, code, fields)), nil
	}
}

// noEndpoints is what OpenRouter says of a model that is gone.
func noEndpoints(model string) reaction {
	return says(404, "No endpoints found for "+model+".", "")
}

// from answers "hello" under a model's name.
func from(model string) reaction {
	return stream(`{"model":"`+model+`","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}`, "[DONE]")
}

// newLoggedCaller is a caller whose log is kept.
func newLoggedCaller(t *testing.T, react reaction) (testCaller, *servicetest.Buffer) {
	t.Helper()
	p, _ := newTestCaller(t, func(c *config.Config) { c.APIKeys = []string{"key-a", "key-b"} }, react)
	log := &servicetest.Buffer{}
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: log, LogLevel: "INFO"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(t.Context()) })
	p.tel, p.retired.tel, p.models.tel = tel, tel, tel
	return p, log
}

// sent are the models of calls, those with a list as "first,second".
func sent(m *modelRouter) (list []string) {
	for _, asked := range m.calls() {
		models := asked.Models
		if len(models) == 0 || models[0] != asked.Model {
			models = append([]string{asked.Model}, models...)
		}
		list = append(list, strings.Join(models, ","))
	}
	return list
}

func wantSent(t *testing.T, m *modelRouter, want ...string) {
	t.Helper()
	if got := sent(m); !slices.Equal(got, want) {
		t.Errorf("calls: got %q, want %q", got, want)
	}
}

func warnings(log *servicetest.Buffer) int { return strings.Count(log.String(), "WARN") }

// Whatever OpenRouter calls it, a model that is gone is left alone: its request and
// later ones are answered by the next model, without a wait, with one warning.
func TestModelIsGone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says reaction
		gone bool // else the request alone goes on with the next model
	}{
		"404":                      {noEndpoints("x/a"), true},
		"400":                      {says(400, "x/a is not a valid model ID", ""), true},
		"model_deprecated":         {says(404, "x/a is deprecated", `,"availability":{"code":"model_deprecated","retryable":false}`), true},
		"in metadata":              {says(404, "x/a is deprecated", `,"metadata":{"availability":{"code":"model_deprecated","retryable":false}}`), true},
		"model_not_found":          {says(400, "no", `,"availability":{"code":"model_not_found"}`), true},
		"no_endpoints":             {says(404, "no", `,"availability":{"code":"no_endpoints"}`), true},
		"free_variant_ended":       {says(404, "no", `,"availability":{"code":"free_variant_ended"}`), true},
		"no_endpoints, for now":    {says(404, "no", `,"availability":{"code":"no_endpoints","retryable":true}`), false},
		"unavailable upstream":     {says(404, "no", `,"availability":{"code":"model_unavailable_upstream"}`), false},
		"a 404 that says little":   {says(404, "no", ""), false},
		"an account without x/a's": {says(404, "No endpoints found for x/ab.", `,"availability":{"code":"no_endpoints"}`), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("x/a", tt.says)
				p, log := newLoggedCaller(t, m.react)
				began := time.Now()
				for range 3 {
					re := p.askFor(t.Context(), "x/a", "x/a", "x/b")
					checkReply(t, re, "")
					if re.Answer != nil && re.Answer.Requested != "x/a" {
						t.Errorf("asked for %q, want x/a", re.Answer.Requested)
					}
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v, want no wait", took)
				}
				once := sent(m)
				if list := p.retired.list(); len(list) == 1 != tt.gone || warnings(log) != len(list) {
					t.Errorf("retired: got %v and %d warnings, want %v", list, warnings(log), tt.gone)
				}
				if tt.gone && len(once) > 6 || !tt.gone && len(once) != 6 {
					t.Errorf("calls: got %q", once)
				}
				if states := p.keys.states(); states[usable] != 2 || !p.breaker.IsClosed() || p.sick("x/a") || strings.Contains(log.String(), "repeated") {
					t.Errorf("a key, a breaker or a retry suffered: %v\n%s", states, log)
				}
				noneInUse(t, p.keys)
			})
		})
	}
}

// A rule of the account or of the request says nothing about the model.
func TestModelIsNotGone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says     reaction
		provider string
		code     events.Code // "": the next model answers
	}{
		"a guardrail":              {says(404, "0 endpoints out of 2 requested are available matching your guardrail restrictions", ""), "", events.ModelUnavailable},
		"the data policy":          {says(404, "No endpoints found matching your data policy", ""), "", events.ModelUnavailable},
		"tool use":                 {says(404, "No endpoints found that support tool use", ""), "", events.ModelUnavailable},
		"a constraint":             {says(404, "No endpoints found for x/a that can handle the requested parameters", ""), "", events.ModelUnavailable},
		"privacy_restricted":       {says(404, "No endpoints found for x/a.", `,"availability":{"code":"privacy_restricted"}`), "", events.ModelUnavailable},
		"region_restricted":        {says(403, "no", `,"availability":{"code":"region_restricted"}`), "", events.ModelUnavailable},
		"the Batch API":            {says(404, "This model is only available through the Batch API", ""), "", events.InvalidRequest},
		"excluded endpoints":       {says(404, "No endpoints found for x/a.", `,"availability":{"code":"no_endpoints","excluded_by":["allowed_providers"]}`), "", events.ModelUnavailable},
		"the providers, by a code": {says(404, "No endpoints found for x/a.", `,"availability":{"code":"no_endpoints"}`), `{"only":["nobody"]}`, ""},
		"the request's providers":  {noEndpoints("x/a"), `{"only":["nobody"]}`, ""},
		"a parameter":              {says(400, "temperature: x/a", ""), "", events.InvalidRequest},
		"a budget":                 {says(403, "Key limit exceeded (total limit)", ""), "", events.InsufficientCredits},
		"a provider's own refusal": {says(400, "Provider returned error", `,"metadata":{"raw":"x/a is not a valid model ID"}`), "", events.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("x/a", tt.says)
				p, _ := newTestCaller(t, func(c *config.Config) { c.RetryWaitMax = 0 }, m.react)
				r := question()
				r.Model, r.Models = "x/a", []string{"x/a", "x/b"}
				if tt.provider != "" {
					r.Extra = map[string]json.RawMessage{"provider": json.RawMessage(tt.provider)}
				}
				checkReply(t, p.askWith(t.Context(), r), tt.code)
				if list := p.retired.list(); len(list) != 0 {
					t.Errorf("retired: got %v, want none", list)
				}
			})
		})
	}
}

// An hour after a model was retired one request looks whether it is back, and loses
// nothing by it, whatever it finds.
func TestLooksWhetherAModelIsBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		finds reaction
		back  bool
	}{
		"gone":             {noEndpoints("x/a"), false},
		"back":             {from("x/a"), true},
		"sick":             {status(503), false},
		"silent":           {hang, false},
		"another refusal":  {status(400), false},
		"no connection":    {refuse, false},
		"filtered":         {says(403, "input was flagged", `,"metadata":{"reasons":["x"]}`), false},
		"a key's limit":    {with(429, `"metadata":{"limit_source":"openrouter_key_rpm"}`, 5), false},
		"gone, but in 502": {with(502, `"metadata":{"provider_name":"Google"}`, 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("x/a", noEndpoints("x/a"))
				p, log := newLoggedCaller(t, m.react)
				ask := func() Reply { return p.askFor(t.Context(), "x/a", "x/a", "x/b") }
				checkReply(t, ask(), "")
				_ = sleep(t.Context(), retiredFor-time.Second)
				checkReply(t, ask(), "")
				wantSent(t, m, "x/a,x/b", "x/a", "x/b", "x/b") // x/a with each key
				_ = sleep(t.Context(), time.Second)
				m.tell("x/a", tt.finds)
				var all sync.WaitGroup
				for range 20 { // one of them looks
					all.Go(func() { checkReply(t, ask(), "") })
				}
				all.Wait()
				looks := 0
				for _, call := range sent(m) {
					if call == "x/a" {
						looks++
					}
				}
				if looks != 1 {
					t.Errorf("got %d looks, want 1, without a list", looks)
				}
				checkReply(t, ask(), "")
				if list := sent(m); tt.back && list[0] != "x/a,x/b" || !tt.back && list[0] != "x/b" {
					t.Errorf("afterwards: got %q", list)
				}
				if back := strings.Contains(log.String(), "answers again"); back != tt.back || warnings(log) != 1 {
					t.Errorf("the log:\n%s", log)
				}
				if s := p.Status(); tt.back != (len(s.Models) == 0) || !tt.back && (s.Models[0].State != "retired" || s.Models[0].Until.Before(time.Now().Add(retiredFor-time.Hour/2))) {
					t.Errorf("status: got %+v", s.Models)
				}
			})
		})
	}
}
