package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// What a provider limits rests for its model alone: the tests of this file run in
// bubbles, before an OpenRouter without a network.

// full is a provider's 429 with a Retry-After.
func full(seconds int) reaction {
	return with(http.StatusTooManyRequests, `"metadata":{"provider_name":"Google","raw":"busy"}`, seconds)
}

// dear is a 402 of an account whose credit affords so many tokens.
func dear(tokens int) reaction {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, http.StatusPaymentRequired, fmt.Sprintf(
			`{"error":{"code":402,"message":"This request requires more credits, or fewer max_tokens. You requested up to 8192 tokens, but can only afford %d. To increase, visit …"}}`, tokens)), nil
	}
}

// A provider's limit stops the calls for its model, and no others; no rest is
// longer than KEYS_REST_MAX, and then one call probes it.
func TestProviderLimitRestsTheModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", full(3600))
		p, _ := newTestCaller(t, nil, m.react)
		re := p.askFor(t.Context(), "a")
		checkReply(t, re, events.RateLimited)
		if re.Attempts != 1 || re.Err.Wait != time.Hour {
			t.Errorf("the one that was limited: got %d attempts, a wait of %v, want 1, for 1 h", re.Attempts, re.Err.Wait)
		}
		if wait, why := p.Pause(); wait != 0 {
			t.Errorf("pause: got %v, %q, want none", wait, why)
		}
		checkReply(t, p.askFor(t.Context(), "b"), "")
		start := time.Now()
		re = p.askFor(t.Context(), "a")
		checkReply(t, re, events.RateLimited)
		if took := time.Since(start); re.Attempts != 0 || took != 0 || re.Err.Heals != Later || re.Err.Wait < restMax || re.Err.Wait > restMax*11/10 {
			t.Errorf("the next: got %d attempts in %v, %+v, want none, and later in %v", re.Attempts, took, re.Err, restMax)
		}
		if s := p.Status(); len(s.Models) != 1 || s.Models[0].Model != "a" || s.Models[0].State != "rate_limited" || s.Keys[usable] != 1 {
			t.Errorf("status: got %+v, want the model, rate_limited, and a usable key", s)
		}
		_ = sleep(t.Context(), restMax)
		m.tell("a", slow(time.Second, ok))
		m.calls()
		both := make(chan Reply)
		for range 2 {
			go func() { both <- p.askFor(t.Context(), "a") }()
		}
		_ = sleep(t.Context(), 900*time.Millisecond)
		if n := len(m.calls()); n != 1 {
			t.Errorf("while it is probed: got %d calls, want the probe", n)
		}
		checkReply(t, <-both, "")
		checkReply(t, <-both, "")
		noneInUse(t, p.keys)
	})
}

// Another key may have room for the model; each rests by itself.
func TestProviderLimitOfOneKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, func(c *config.Config) { c.APIKeys = []string{"bad", "good"} }, func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer bad" {
				return full(60)(r)
			}
			return ok(r)
		})
		for range 4 {
			start := time.Now()
			checkReply(t, p.askFor(t.Context(), "a"), "")
			if took := time.Since(start); took != 0 {
				t.Errorf("took %v, want no time", took)
			}
		}
		if calls := strings.Join(up.calls, " "); strings.Count(calls, "bad") > 1 {
			t.Errorf("calls: got %s, want the limited key once at most", calls)
		}
	})
}

// The account's own limit still stops all of its calls, for KEYS_REST_MAX at most.
func TestAccountLimitRestsTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const weeks = 3 * 7 * 24 * 3600
		p, up := newTestCaller(t, nil, after(429, weeks), after(429, weeks), slow(time.Second, ok))
		checkReply(t, p.askFor(t.Context(), "a"), events.RateLimited)
		for round := range 2 {
			if wait, why := p.Pause(); wait != restMax || why != "no usable API key (rate_limited)" {
				t.Fatalf("round %d: pause: got %v, %q, want %v", round, wait, why, restMax)
			}
			_ = sleep(t.Context(), restMax)
			if round == 0 {
				checkReply(t, p.askFor(t.Context(), "b"), events.RateLimited) // the probe is limited too
			}
		}
		done := make(chan Reply)
		go func() { done <- p.askFor(t.Context(), "a") }()
		synctest.Wait()
		if wait, _ := p.Pause(); wait == 0 {
			t.Error("pause: got none, want one while the probe is under way")
		}
		checkReply(t, <-done, "")
		if wait, _ := p.Pause(); wait != 0 || len(up.calls) != 3 {
			t.Errorf("after the probe: got a pause of %v after %d calls, want none after 3", wait, len(up.calls))
		}
	})
}

// A rest within RETRY_WAIT_MAX is waited for by the call that was limited, and by
// few of those that come: the others give their slots to other models.
func TestFewWaitForAModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", full(10))
		p, _ := newTestCaller(t, func(c *config.Config) { c.Concurrency = 40 }, m.react)
		replies := make(chan Reply, 41)
		go func() { replies <- p.askFor(t.Context(), "a") }()
		synctest.Wait()
		m.tell("a", ok)
		for range 40 {
			go func() { replies <- p.askFor(t.Context(), "a") }()
		}
		synctest.Wait()
		if n := len(replies); n != 30 {
			t.Errorf("got %d replies at once, want 30 of 40: ten may wait", n)
		}
		for range len(replies) {
			re := <-replies
			checkReply(t, re, events.RateLimited)
			if re.Attempts != 0 || re.Err.Wait < 10*time.Second || re.Err.Wait > 11*time.Second {
				t.Errorf("got %d attempts, a wait of %v, want none, later in 10 s", re.Attempts, re.Err.Wait)
			}
		}
		start := time.Now()
		for range 11 {
			checkReply(t, <-replies, "")
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the others were answered after %v, want 10 s", took)
		}
	})
}

// Requesters name the models: what is remembered of them is bounded, and what is
// over goes first.
func TestModelRestsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(0, "a")
		limited := func(model string, wait time.Duration) {
			l, err := k.lend(t.Context(), 0, need{model: model})
			if err != nil {
				t.Fatal(err)
			}
			k.failed(l, &Error{Code: events.RateLimited, key: keyModelLimited, Wait: wait})
		}
		limited("kept", 5*time.Minute)
		for i := range 1000 {
			limited(fmt.Sprint("short-", i), time.Second)
			if i%100 == 0 {
				_ = sleep(t.Context(), 2*time.Second)
			}
		}
		if n := len(k.all[0].models); n > maxModelRests {
			t.Errorf("got %d rests, want at most %d", n, maxModelRests)
		}
		if wait, _ := k.modelWait(need{model: "kept"}); wait == 0 {
			t.Error("a rest that goes on was forgotten before those that end sooner")
		}
	})
}

// A key that rests for a while bounds the wait for a model that another key is without for
// long.
func TestModelWaitIsThatOfTheSoonestKey(t *testing.T) {
	t.Parallel()
	k := testKeys(0, "a", "b")
	k.lacks(k.all[0], "m")
	if wait, _ := k.modelWait(need{model: "m"}); wait != 0 {
		t.Errorf("with a key that has it: got %v", wait)
	}
	l, err := k.lend(t.Context(), 0, need{model: "m"})
	if err != nil || l.key != k.all[1] {
		t.Fatalf("got %+v, %v", l, err)
	}
	k.failed(l, asks(tooMany(), time.Minute))
	if wait, _ := k.modelWait(need{model: "m"}); wait <= 0 || wait > time.Minute {
		t.Errorf("the key that has it rests for a minute: got %v", wait)
	}
	if wait, _ := k.modelWait(need{model: "another"}); wait != 0 {
		t.Errorf("another model: got %v", wait)
	}
}
