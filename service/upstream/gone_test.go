package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// What OpenRouter suggests in place of a model that is gone is not what is gone.
func TestSuggestedModelIsNotGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", func(r *http.Request) (*http.Response, error) {
			return says(404, "This model is deprecated.", `,"availability":{"code":"model_deprecated","retryable":false,"fallback_models":["x/b"]}`)(r)
		})
		p, log := newLoggedCaller(t, m.react)
		for range 2 {
			checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		}
		if list := p.retired.list(); len(list) != 1 || list["x/a"].IsZero() || warnings(log) != 1 {
			t.Errorf("retired: got %v, want x/a:\n%s", list, log)
		}
	})
}

// A preset has models of its own: one of these that is gone does not stand for the
// model that the request names.
func TestModelOfAPresetIsGone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says reaction
		gone int
	}{
		"another model":      {says(400, "x/y is not a valid model ID", ""), 0},
		"another, by a code": {says(404, "no", `,"availability":{"code":"model_deprecated","requested_models":["x/y"]}`), 0},
		"no model is named":  {says(404, "no", `,"availability":{"code":"model_deprecated"}`), 0},
		"this one":           {says(400, "x/a is not a valid model ID", ""), 1},
		"this one, by code":  {says(404, "no", `,"availability":{"code":"model_deprecated","requested_models":["x/a"]}`), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("x/a", tt.says)
				p, _ := newTestCaller(t, nil, m.react)
				r := question()
				r.Model, r.Extra = "x/a", map[string]json.RawMessage{"preset": json.RawMessage(`"p"`)}
				checkReply(t, p.askWith(t.Context(), r), events.ModelUnavailable)
				if list := p.retired.list(); len(list) != tt.gone {
					t.Errorf("retired: got %v, want %d", list, tt.gone)
				}
			})
		})
	}
}

// What OpenRouter said of a model goes into the log and to other requests: it quotes
// nobody's prompt there.
func TestGoneModelQuotesNoPrompt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secret = "the launch code of the moon base is known to nobody"
		m := &modelRouter{}
		m.tell("x/a", says(404, "x/a is deprecated: "+secret, `,"availability":{"code":"model_deprecated"}`))
		m.tell("x/b", noEndpoints("x/b"))
		p, log := newLoggedCaller(t, m.react)
		ask := func(model, prompt, fallbacks string) {
			t.Helper()
			r := events.Request{Model: model, Prompt: prompt, Parameters: events.DefaultParameters(), OpenRouter: map[string]json.RawMessage{"models": json.RawMessage(fallbacks)}}
			re := p.Answer(t.Context(), &r, ignore)
			checkReply(t, *re, events.ModelUnavailable)
			if !strings.Contains(re.Err.Message, "x/a is deprecated") || strings.Contains(re.Err.Message, "moon") {
				t.Errorf("got %s", re.Err.Message)
			}
		}
		ask("x/a", secret, `[]`)
		ask("x/b", "Why?", `["x/a"]`)
		if !strings.Contains(log.String(), "x/a is deprecated") || strings.Contains(log.String(), "moon") {
			t.Errorf("the log:\n%s", log)
		}
	})
}

// An answer that OpenRouter's response cache has kept does not show that a model is
// back, nor that another one answers for it: the next call looks.
func TestKeptAnswersShowNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		kept := func(model string) reaction {
			return func(r *http.Request) (*http.Response, error) {
				re, err := from(model)(r)
				re.Header.Set("X-OpenRouter-Cache-Status", "HIT")
				return re, err
			}
		}
		p, log := newLoggedCaller(t, m.react)
		ask := func() { checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "") }
		m.tell("x/a", kept("x/b"))
		ask()
		m.tell("x/a", noEndpoints("x/a"))
		ask()
		wantSent(t, m, "x/a,x/b", "x/a,x/b", "x/a", "x/b") // x/a with each key
		_ = sleep(t.Context(), retiredFor)
		m.tell("x/a", kept("x/a"))
		ask()
		m.tell("x/a", noEndpoints("x/a"))
		ask()
		ask()
		wantSent(t, m, "x/a", "x/a", "x/b", "x/b")
		if len(p.retired.list()) != 1 || warnings(log) != 1 || strings.Contains(log.String(), "answers again") {
			t.Errorf("want one warning, and no return:\n%s", log)
		}
	})
}

// A list that is not sent, since its models take other bodies, is not in question.
func TestNoListIsNotInQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell(oldModel, says(404, "no", `,"availability":{"code":"no_endpoints"}`))
		p, _ := newTestCaller(t, nil, m.react)
		r := question()
		r.Model, r.Models = oldModel, []string{oldModel, successor}
		r.Extra = map[string]json.RawMessage{"frequency_penalty": json.RawMessage(`1`)}
		checkReply(t, p.askWith(t.Context(), r), "")
		wantSent(t, m, oldModel, successor)
	})
}

// A model that is gone is none that a key could be used for: where the next one is
// limited for long, the call is not repeated in vain.
func TestLimitBehindAGoneModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", noEndpoints("x/a"))
		m.tell("x/b", full(600))
		p, log := newLoggedCaller(t, m.react)
		p.keys.replace([]string{"key-a"})
		re := p.askFor(t.Context(), "x/a", "x/a", "x/b")
		checkReply(t, re, events.RateLimited)
		if strings.Contains(log.String(), "repeated") {
			t.Errorf("want no repetition:\n%s", log)
		}
		wantSent(t, m, "x/a,x/b", "x/b")
	})
}

// What a cancelled call costs in the end lowers what is left of its key.
func TestCancelledCallIsPaidByItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, func(c *config.Config) { c.CancelWaits, c.Concurrency = true, 4 },
			slow(time.Minute/2, stream(`{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"cost":0.25}}`, "[DONE]")))
		p.keys.learn(p.keys.all[0], limited(1))
		re := p.Answer(ending(t, -time.Second), &events.Request{Model: oldModel, Prompt: "Why?", Parameters: events.DefaultParameters()}, ignore)
		checkReply(t, *re, events.Cancelled)
		p.left.calls.Wait()
		if left, _ := p.keys.remaining(); left != 0.75 {
			t.Errorf("got %v USD left, want 0.75", left)
		}
	})
}

// The request that looks whether a model is back is answered in time, however silent
// that model is.
func TestLookLeavesTimeForTheNextModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", noEndpoints("x/a"))
		p, _ := newTestCaller(t, nil, m.react)
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		_ = sleep(t.Context(), retiredFor)
		m.tell("x/a", hang)
		checkReply(t, p.askFor(ending(t, 30*time.Second), "x/a", "x/a", "x/b"), "")
		wantSent(t, m, "x/a,x/b", "x/b", "x/a", "x/b")
	})
}

// Where the request's own rules may be what leaves no endpoint, the failure says so.
func TestOwnRulesMayLeaveNoModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", noEndpoints("x/a"))
		p, _ := newTestCaller(t, nil, m.react)
		for only, want := range map[string]bool{`{"only":["nobody"]}`: true, `{"sort":"price"}`: false} {
			r := question()
			r.Model, r.Extra = "x/a", map[string]json.RawMessage{"provider": json.RawMessage(only)}
			re := p.askWith(t.Context(), r)
			checkReply(t, re, events.ModelUnavailable)
			if strings.Contains(re.Err.Message, "openrouter.provider") != want {
				t.Errorf("%s: got %s", only, re.Err.Message)
			}
		}
	})
}

// A look that is cancelled shows nothing: the next call looks.
func TestCancelledLookIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", noEndpoints("x/a"))
		p, _ := newTestCaller(t, nil, m.react)
		ask := func(ctx context.Context, code events.Code) { checkReply(t, p.askFor(ctx, "x/a", "x/a", "x/b"), code) }
		ask(t.Context(), "")
		_ = sleep(t.Context(), retiredFor)
		m.tell("x/a", hang)
		ask(ending(t, -time.Second), events.Cancelled)
		m.tell("x/a", from("x/a"))
		ask(t.Context(), "")
		ask(t.Context(), "")
		wantSent(t, m, "x/a,x/b", "x/b", "x/a", "x/a", "x/a,x/b")
	})
}

// A list that is refused for a model that is not named is not sent again and again: its
// calls would be made twice.
func TestRefusedListIsNotSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", func(r *http.Request) (*http.Response, error) {
			m.mu.Lock()
			list := len(m.seen[len(m.seen)-1].Models) > 0
			m.mu.Unlock()
			if list {
				return says(400, "no", `,"availability":{"code":"model_not_found","requested_models":["x/a","x/b"]}`)(r)
			}
			return from("x/a")(r)
		})
		p, _ := newTestCaller(t, nil, m.react)
		ask := func() { checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "") }
		ask()
		ask()
		wantSent(t, m, "x/a,x/b", "x/a", "x/a")
		m.tell("x/a", noEndpoints("x/a"))
		ask()
		wantSent(t, m, "x/a", "x/b")
		m.tell("x/a", from("x/a"))
		_ = sleep(t.Context(), retiredFor)
		ask()
		ask()
		wantSent(t, m, "x/a", "x/a,x/b")
	})
}
