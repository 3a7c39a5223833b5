package upstream

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// A request with fallbacks does not wait for its first model.
func TestFallbackWhileAModelRests(t *testing.T) {
	t.Parallel()
	own := question()
	own.Model, own.Models = "a", []string{"b", "c"} // without its model
	listed := question()
	listed.Model, listed.Models = "a", []string{"a", "b", "c"}
	for name, r := range map[string]openrouter.Request{"the service's": listed, "the request's own": own} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("a", full(60))
				m.tell("b", full(90))
				p, _ := newTestCaller(t, nil, m.react)
				checkReply(t, p.askFor(t.Context(), "a"), events.RateLimited)
				checkReply(t, p.askWith(t.Context(), r), "") // b refuses too
				checkReply(t, p.askWith(t.Context(), r), "")
				want := []asksFor{{Model: "a"}, {Model: "b", Models: []string{"b", "c"}}, {Model: "c"}, {Model: "c"}}
				if seen := m.calls(); !slices.EqualFunc(seen, want, func(a, b asksFor) bool { return a.Model == b.Model && slices.Equal(a.Models, b.Models) }) {
					t.Errorf("calls: got %+v, want %+v", seen, want)
				}
				m.tell("c", full(120))
				checkReply(t, p.askWith(t.Context(), r), events.RateLimited)
				re := p.askWith(t.Context(), r)
				checkReply(t, re, events.RateLimited)
				if re.Attempts != 0 || re.Err.Wait > 66*time.Second {
					t.Errorf("all rest: got %d attempts, a wait of %v, want none, until the first is over", re.Attempts, re.Err.Wait)
				}
				_ = sleep(t.Context(), time.Minute)
				m.tell("a", ok)
				m.calls()
				checkReply(t, p.askWith(t.Context(), r), "")
				if seen := m.calls(); len(seen) != 1 || seen[0].Model != "a" || !slices.Equal(seen[0].Models, r.Models) {
					t.Errorf("after its rest: got %+v, want the request as it came", seen)
				}
			})
		})
	}
}

// Where no other models are in use than a request and its fallback, those that both
// have limited wait in their slots: nobody else needs these.
func TestModelAndFallbackAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", full(3))
		m.tell("b", full(3))
		p, _ := newTestCaller(t, nil, m.react)
		var all sync.WaitGroup
		for range 2 * cap(p.seats) {
			all.Go(func() { checkReply(t, p.askFor(t.Context(), "a", "a", "b"), "") })
		}
		_ = sleep(t.Context(), time.Second)
		m.tell("a", ok)
		m.tell("b", ok)
		all.Wait()
	})
}

// A credit that affords fewer tokens stops the calls that may need more.
func TestCreditForFewerTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", dear(600))
		p, _ := newTestCaller(t, nil, m.react)
		ask := func(model string, tokens int) Reply {
			r := question()
			r.Model, r.MaxTokens = model, tokens
			return p.askWith(t.Context(), r)
		}
		re := ask("a", 8192)
		checkReply(t, re, events.InsufficientCredits)
		if re.Attempts != 1 || re.Err.Heals == Never {
			t.Errorf("got %d attempts, %+v, want 1, and later", re.Attempts, re.Err)
		}
		if wait, why := p.Pause(); wait != 0 || p.keys.states()[usable] != 1 {
			t.Errorf("got a pause of %v, %q, keys %v, want a usable key", wait, why, p.keys.states())
		}
		if s := p.Status(); len(s.Models) != 1 || s.Models[0].Model != "a" || s.Models[0].State != "insufficient_credits" {
			t.Errorf("status: got %+v, want the model whose longer answers rest", s.Models)
		}
		m.tell("a", ok)
		checkReply(t, ask("a", 600), "")
		checkReply(t, ask("b", 8192), "") // it may be cheaper
		re = ask("a", 601)
		checkReply(t, re, events.InsufficientCredits)
		if re.Attempts != 0 || re.Err.Heals != Later || re.Err.Wait < spentCooldown || len(m.calls()) != 3 {
			t.Errorf("got %d attempts, %+v, want none, and later", re.Attempts, re.Err)
		}
		m.tell("a", dear(300))
		checkReply(t, ask("a", 500), events.InsufficientCredits)
		m.tell("a", ok)
		checkReply(t, ask("a", 301), events.InsufficientCredits)
		checkReply(t, ask("a", 300), "")
		_ = sleep(t.Context(), spentCooldown)
		checkReply(t, ask("a", 8192), "") // somebody has added credits
		checkReply(t, ask("a", 8192), "")
		noneInUse(t, p.keys)
	})
}
