package inprocess_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

const oldModel, newModel = "google/gemini-2.5-flash", "google/gemini-3.5-flash-lite"

// withFallback is the default that the other tests do without.
func withFallback(c *config.Config) { c.FallbackModels = config.List{newModel} }

// warnings counts the lines of a level that people on call look at.
func (b *bench) warnings() int { return strings.Count(b.log.String(), `"level":"WARN"`) }

// The model goes in the middle of 500 requests that name it. However OpenRouter says
// so, none fails, and no more calls are made in vain than slots were at work.
func TestModelIsRetired(t *testing.T) {
	t.Parallel()
	const requests, slots = 500, 50
	for name, how := range map[string]simulator.Retirement{
		"404": simulator.RetiredNoEndpoints, "400": simulator.RetiredUnknown, "availability": simulator.RetiredDeprecated,
		"availability in metadata": simulator.RetiredDeprecatedMetadata, "by models": simulator.RetiredSilently,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var or *servicetest.OpenRouter
			or = servicetest.RunOpenRouter(t, simulator.Config{Latency: 10 * time.Millisecond, OnCall: func(c simulator.Call) {
				if c.Number == requests/2 {
					or.Retire(oldModel, how)
				}
			}})
			b := setupOn(t, servicetest.RunNATS(t), or, withFallback, func(c *config.Config) { c.Concurrency = slots })
			r := b.start()
			var ids []string
			for n := range requests {
				ids = append(ids, b.Ask(fmt.Sprint("why ", n), of("gemini-2.5-flash")))
			}
			successor := 0
			for _, id := range ids {
				if b.answeredBy(id) == newModel+"-20260721" {
					successor++
				}
			}
			b.Idle()
			vain := 0
			for _, c := range b.openrouter.Calls() {
				if c.Status != http.StatusOK {
					vain++
				}
			}
			if successor < requests/2-slots || vain > slots || vain == 0 || b.openrouter.Count() != requests+vain {
				t.Errorf("%d answers of the successor, %d calls, %d in vain, want no more than %d", successor, b.openrouter.Count(), vain, slots)
			}
			if b.warnings() != 1 || !strings.Contains(b.log.String(), `"answers_instead":"`+newModel+`"`) || b.stream(b.Names.DeadlettersStream()).Msgs != 0 {
				t.Errorf("%d warnings and %d dead letters, want one that says who answers, and none", b.warnings(), b.stream(b.Names.DeadlettersStream()).Msgs)
			}
			text, _ := r.get("/metrics")
			want := fmt.Sprintf("\ngemini_substituted_total{requested=%q,served=%q} %d\n", oldModel, newModel+"-20260721", successor)
			if !strings.Contains(text, want) || strings.Contains(text, "\ngemini_retries_total{reason=\"model_unavailable\"} 1") {
				t.Errorf("the metrics lack %s or count a retry", want)
			}
			if got, ready := r.get("/readyz"); !ready {
				t.Errorf("not ready: %s", got)
			}
			t.Logf("%d answers of the successor, %d calls in vain", successor, vain)
		})
	}
}

// answeredBy wants an answer, with the header if another model gave it than the one
// that was asked for, and returns the model.
func (b *bench) answeredBy(id string) string {
	b.t.Helper()
	got := b.Result(id)
	if got.Result.Status != events.StatusSuccess || got.Result.ModelUsed == nil {
		b.t.Errorf("result: %s", got.Body)
		return ""
	}
	used, requested := *got.Result.ModelUsed, got.Header.Get(events.HeaderModelRequested)
	if used == oldModel && requested != "" || used != oldModel && requested != oldModel {
		b.t.Errorf("answered by %s: the header says %q", used, requested)
	}
	return used
}

// Who is told what of a retired model: a trace shows which model each attempt asked,
// a status reply names it.
func TestRetiredModelIsVisible(t *testing.T) {
	t.Parallel()
	b := setup(t, withFallback)
	b.openrouter.Retire(oldModel, simulator.RetiredUnknown)
	b.start()
	b.answeredBy(b.Ask("why?", nil))
	b.Idle()
	reply, err := b.NC.RequestWithContext(b.Context(), b.Names.Status(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var w service.WorkerStatus
	if err := json.Unmarshal(reply.Data, &w); err != nil || len(w.Models) != 1 || w.Models[0].Model != oldModel || w.Models[0].State != "retired" {
		t.Errorf("status: %s, error %v", reply.Data, err)
	}
	var asked []string
	for _, s := range b.spans.GetSpans() {
		attrs := attributes(s)
		if s.Name == "POST" {
			asked = append(asked, attrs["openrouter.request.model"])
		}
		if strings.HasPrefix(s.Name, "chat ") && (attrs["gen_ai.request.model"] != oldModel || attrs["gen_ai.response.model"] != newModel+"-20260721") {
			t.Errorf("span %s: %v", s.Name, attrs)
		}
	}
	if fmt.Sprint(asked) != fmt.Sprint([]string{oldModel, newModel}) {
		t.Errorf("attempts asked %v", asked)
	}
}

// Whose request another model may answer.
func TestModelFallback(t *testing.T) {
	t.Parallel()
	without := map[string]any{"openrouter": map[string]any{"models": []string{}}}
	own := map[string]any{"model": oldModel, "openrouter": map[string]any{"models": []string{"google/gemini-2.5-pro"}}}
	for name, tt := range map[string]struct {
		mode   string
		more   map[string]any
		models string // that are sent while the model is there
		used   string // "": it fails
	}{
		"always, named":             {"always", of(oldModel), `"models":["` + oldModel + `","` + newModel + `"]`, newModel + "-20260721"},
		"always, not named":         {"always", nil, `"models":["` + oldModel + `","` + newModel + `"]`, newModel + "-20260721"},
		"always, an empty list":     {"always", without, "", ""},
		"never, named":              {"never", of(oldModel), "", ""},
		"never, not named":          {"never", nil, `"models":["` + oldModel + `","` + newModel + `"]`, newModel + "-20260721"},
		"never, named, a list":      {"never", own, `"models":["google/gemini-2.5-pro"]`, "google/gemini-2.5-pro-20260721"},
		"never, not named, no list": {"never", without, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, withFallback, func(c *config.Config) { c.ModelFallback = tt.mode })
			b.start()
			if used := b.answeredBy(b.Ask("before", tt.more)); used != oldModel {
				t.Errorf("answered by %s", used)
			}
			body := string(b.openrouter.Calls()[0].Body)
			if has := strings.Contains(body, `"models"`); has != (tt.models != "") || !strings.Contains(body, tt.models) {
				t.Errorf("sent %s, want %s in it", body, tt.models)
			}
			b.openrouter.Retire(oldModel, simulator.RetiredNoEndpoints)
			for range 2 {
				id := b.Ask("after", tt.more)
				if tt.used != "" {
					if used := b.answeredBy(id); used != tt.used {
						t.Errorf("answered by %s, want %s", used, tt.used)
					}
					continue
				}
				got := b.Result(id)
				if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.ModelUnavailable || !strings.Contains(*got.Result.Error, oldModel+": OpenRouter answered 404") {
					t.Errorf("result: %s", got.Body)
				}
				b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.ModelUnavailable, id), 1)
			}
			b.openrouter.Restore(oldModel)
			if tt.used == "" && b.answeredBy(b.Ask("back", tt.more)) != oldModel {
				t.Error("it is not answered by the model, which is back")
			}
		})
	}
}

// A list of more than three models is refused before OpenRouter refuses it.
func TestTooManyModels(t *testing.T) {
	t.Parallel()
	b := setup(t, withFallback)
	b.start()
	got := b.Result(b.Ask("why?", map[string]any{"openrouter": map[string]any{"models": []string{"google/a", "google/b", "google/c", "google/d"}}}))
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.InvalidRequest || !strings.Contains(*got.Result.Error, "openrouter.models: has 4 entries; give at most 3") || b.openrouter.Count() != 0 {
		t.Errorf("result: %s", got.Body)
	}
}

// A rule of the account excludes the model for some request: it is not retired.
func TestGuardrailRetiresNothing(t *testing.T) {
	t.Parallel()
	const refusal = "0 endpoints out of 2 requested are available matching your guardrail restrictions and data policy"
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(w, `{"error":{"message":%q,"code":404}}`, refusal)
	}))
	t.Cleanup(edge.Close)
	b := setup(t, withFallback, func(c *config.Config) { c.BaseURL = edge.URL })
	b.start()
	got := b.Result(b.Ask("why?", of(oldModel)))
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.ModelUnavailable || !strings.Contains(*got.Result.Error, refusal) {
		t.Errorf("result: %s", got.Body)
	}
	if strings.Contains(b.log.String(), "a model is gone") {
		t.Error("the model was retired")
	}
}

// The account of one key has no endpoint of the model, as OpenRouter says to that key alone:
// the model is not retired, and the other key answers for it. OpenRouter itself has the next
// model answer once.
func TestOneKeyIsWithoutTheModel(t *testing.T) {
	t.Parallel()
	b := setup(t, withFallback, func(c *config.Config) {
		c.APIKeys = config.List{servicetest.Key + "-1", servicetest.Key + "-2"}
	})
	b.openrouter.SetFault(simulator.Fault{Name: "404_gone", Key: "-1"})
	b.start()
	others := 0
	for n := range 20 {
		if b.answeredBy(b.Ask(fmt.Sprint("why ", n), of(oldModel))) != oldModel {
			others++
		}
	}
	refused := 0
	for _, c := range b.openrouter.Calls() {
		if c.Status != http.StatusOK {
			refused++
		}
	}
	if others > 1 || refused != 1 || b.warnings() != 1 || !strings.Contains(b.log.String(), "no endpoint of the model for an API key") {
		t.Errorf("another model answered %d times, %d calls were refused, with %d warnings; want once, one, and one of the key", others, refused, b.warnings())
	}
}
