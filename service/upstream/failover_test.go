package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// A hundred calls are in flight when the model goes: those that are refused are all
// that is called in vain, but for one with the other key, and an answer that began before is no sign of its return.
func TestModelGoesWhileCallsAreInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slots = 100
		m := &modelRouter{}
		var mu sync.Mutex
		n, vain := 0, 0
		m.tell("x/a", func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			n++
			late := n <= slots/2 && n%2 == 0
			if !late {
				vain++
			}
			mu.Unlock()
			if late {
				return slow(2*time.Second, from("x/a"))(r)
			}
			return slow(time.Second, noEndpoints("x/a"))(r)
		})
		p, log := newLoggedCaller(t, m.react)
		var all sync.WaitGroup
		for range slots {
			all.Go(func() {
				for range 5 {
					checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
				}
			})
		}
		all.Wait()
		if vain > slots || n > slots+1 || warnings(log) != 1 || strings.Contains(log.String(), "answers again") {
			t.Errorf("%d calls of the model, %d in vain, want no more than %d, and one warning:\n%s", n, vain, slots, log)
		}
	})
}

// Calls that wait for their turn when the model goes are not made.
func TestModelGoesWhileCallsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", slow(time.Second/2, noEndpoints("x/a")))
		p, _ := newTestCaller(t, func(c *config.Config) { c.KeysMaxPerMinute = 60 }, m.react)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "") })
		}
		all.Wait()
		if calls := sent(m); len(calls) != 21 {
			t.Errorf("got %d calls, want one in vain: %q", len(calls), calls)
		}
		noneInUse(t, p.keys)
	})
}

// Which model of a list is gone is taken from what OpenRouter says, or found out.
func TestWhichModelOfAListIsGone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		list, alone reaction // of x/a with a list, and without
		want        []string
		gone        string
	}{
		"another one":          {noEndpoints("x/b"), nil, []string{"x/a,x/b,x/c", "x/a,x/c"}, "x/b"},
		"a longer name":        {noEndpoints("x/ab"), ok, []string{"x/a,x/b,x/c", "x/a"}, ""},
		"none is named":        {says(404, "no", `,"availability":{"code":"no_endpoints"}`), noEndpoints("x/a"), []string{"x/a,x/b,x/c", "x/a", "x/b"}, "x/a"},
		"none is named, or is": {says(404, "no", `,"availability":{"code":"no_endpoints"}`), ok, []string{"x/a,x/b,x/c", "x/a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("x/a", func(r *http.Request) (*http.Response, error) {
					m.mu.Lock()
					asked := m.seen[len(m.seen)-1]
					m.mu.Unlock()
					switch {
					case len(asked.Models) == 3:
						return tt.list(r)
					case len(asked.Models) == 0:
						return tt.alone(r)
					}
					return ok(r)
				})
				p, _ := newTestCaller(t, nil, m.react)
				checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b", "x/c"), "")
				wantSent(t, m, tt.want...)
				if list := p.retired.list(); tt.gone == "" && len(list) != 0 || tt.gone != "" && (len(list) != 1 || list[tt.gone].IsZero()) {
					t.Errorf("retired: got %v, want %q", list, tt.gone)
				}
			})
		})
	}
}

// Where OpenRouter passes over a model that is gone in silence, the answer shows it:
// one call asks the model alone, and the next begin at the one that answers.
func TestModelGoesInSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		covered := true
		m.tell("x/a", func(r *http.Request) (*http.Response, error) {
			m.mu.Lock()
			alone := len(m.seen[len(m.seen)-1].Models) == 0
			m.mu.Unlock()
			switch {
			case alone && covered:
				return noEndpoints("x/a")(r)
			case covered:
				return from("x/b-20260721")(r)
			}
			return from("x/a")(r)
		})
		p, log := newLoggedCaller(t, m.react)
		ask := func() {
			re := p.askFor(t.Context(), "x/a", "x/a", "x/b")
			checkReply(t, re, "")
			if re.Answer.Requested != "x/a" {
				t.Errorf("asked for %q, want x/a", re.Answer.Requested)
			}
		}
		for range 3 {
			ask()
		}
		wantSent(t, m, "x/a,x/b", "x/a", "x/a", "x/b", "x/b") // alone with each key
		if warnings(log) != 1 {
			t.Errorf("want one warning:\n%s", log)
		}
		covered = false
		_ = sleep(t.Context(), retiredFor)
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		covered = true // a moment's trouble
		m.tell("x/a", from("x/b"))
		for range 3 {
			ask()
		}
		wantSent(t, m, "x/a", "x/a,x/b", "x/a", "x/a,x/b") // asked alone once, in vain
		if len(p.retired.list()) != 0 || warnings(log) != 1 {
			t.Errorf("a model that is there was retired:\n%s", log)
		}
	})
}

// With no model left the request fails, by OpenRouter's word and not by memory: it
// asks again the model that it names, which may be back.
func TestNoModelIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", noEndpoints("x/a"))
		m.tell("x/b", says(400, "x/b is not a valid model ID", ""))
		p, log := newLoggedCaller(t, m.react)
		for range 2 {
			re := p.askFor(t.Context(), "x/a", "x/a", "x/b")
			checkReply(t, re, events.ModelUnavailable)
			if re.Err.Heals != Never {
				t.Errorf("it heals by %v, want never", re.Err.Heals)
			}
			const want = "No model is left that can answer. x/a: OpenRouter answered 404: No endpoints found for x/a. " +
				"x/b: OpenRouter answered 400: x/b is not a valid model ID. Name another model, or others in openrouter.models."
			if re.Err.Message != want {
				t.Errorf("got %s\nwant %s", re.Err.Message, want)
			}
		}
		wantSent(t, m, "x/a,x/b", "x/a", "x/b", "x/a") // x/a with each key, at first
		if warnings(log) != 2 || !strings.Contains(log.String(), "no other model may answer\" model=x/b") || !strings.Contains(log.String(), "answers_instead=none") {
			t.Errorf("want a warning for each model:\n%s", log)
		}
		re := p.askFor(t.Context(), "x/a")
		checkReply(t, re, events.ModelUnavailable)
		m.tell("x/a", from("x/a"))
		checkReply(t, p.askFor(t.Context(), "x/a"), "")
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		wantSent(t, m, "x/a", "x/a", "x/a") // x/b is not named any more
	})
}

// What others were told while a call waited for its next attempt does not end it.
func TestModelGoesBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", status(503))
		p, _ := newTestCaller(t, nil, m.react)
		var all sync.WaitGroup
		all.Go(func() { checkReply(t, p.askFor(t.Context(), "x/a"), "") })
		_ = sleep(t.Context(), time.Millisecond)
		p.retired.retire(t.Context(), "x/a", "", newError(kindModelGone, 0), &call{})
		m.tell("x/a", from("x/a"))
		all.Wait()
		wantSent(t, m, "x/a", "x/a")
		if list := p.retired.list(); len(list) != 0 {
			t.Errorf("retired: got %v, want none: it has answered", list)
		}
	})
}

// A model that is away for a moment is asked again, if no other answers.
func TestModelIsAwayForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		away := says(404, "no", `,"availability":{"code":"model_unavailable_upstream","retryable":true}`)
		m.tell("x/a", away)
		m.tell("x/b", away)
		p, _ := newTestCaller(t, nil, m.react)
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), events.ModelUnavailable)
		if calls := sent(m); len(calls) != 2*maxAttempts {
			t.Errorf("calls: got %q, want each model in each attempt", calls)
		}
	})
}

// A fallback that is sick is waited for, as any model is; what is gone is not.
func TestFallbackOfAModelThatIsGoneIsSick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", noEndpoints("x/a"))
		m.tell("x/b", status(503))
		p, _ := newTestCaller(t, func(c *config.Config) { c.RetryWaitMax = time.Minute }, m.react)
		re := p.askFor(t.Context(), "x/a", "x/a", "x/b")
		checkReply(t, re, events.UpstreamUnavailable)
		wantSent(t, m, "x/a,x/b", "x/b", "x/b", "x/b") // three attempts of its own
		p.sicken("x/b")
		m.tell("x/b", ok)
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
	})
}

// Requesters name the models: what is kept of them is bounded.
func TestRetiredModelsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRetired(quiet(t))
		for n := range 3 * maxModels {
			_ = sleep(t.Context(), time.Millisecond)
			r.standing("in use", nil)
			r.retire(t.Context(), fmt.Sprint("name-", n), "", newError(kindModelGone, 0), &call{})
			if n == 0 {
				r.doubt("in use", nil)
			}
		}
		if len(r.all) != maxModels || r.all["in use"] == nil {
			t.Errorf("got %d models, the one in use %v, want %d with it", len(r.all), r.all["in use"], maxModels)
		}
	})
}

func TestSameModel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, served string
		want          bool
	}{
		{"google/gemini-2.5-flash", "google/gemini-2.5-flash", true},
		{"google/gemini-3.5-flash-lite", "google/gemini-3.5-flash-lite-20260721", true},
		{"google/gemini-3.5-flash-lite-20260721", "google/gemini-3.5-flash-lite", true},
		{"google/gemini-3.5-flash-lite-20260721", "google/gemini-3.5-flash-lite-20260801", false},
		{"google/gemini-2.5-flash", "google/gemini-2.5-flash-lite", false},
		{"deepseek/deepseek-chat-v3", "deepseek/deepseek-chat-v3-0324", false},
		{"google/gemini-2.5-flash:nitro", "google/gemini-2.5-flash", true},
		{"google/gemma-3-27b-it:free", "google/gemma-3-27b-it:free", true},
		{"google/gemini-2.5-flash@preset/x", "google/gemini-2.5-flash", true},
		{"~google/gemini-flash-latest", "google/gemini-3.8-flash", true},
		{"@preset/x", "google/gemini-3.8-flash", true},
		{"openrouter/auto", "openai/gpt-6", true},
		{"google/gemini-2.5-flash", "", true},
		{"google/gemini-2.5-flash", "google/gemini-3.5-flash-lite-20260721", false},
	} {
		if got := sameModel(tt.asked, tt.served); got != tt.want {
			t.Errorf("asked %s, served %s: got %v", tt.asked, tt.served, got)
		}
	}
}
