package upstream

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/events"
	"gemini-client/service/config"
)

// The tests of the circuit breaker run in bubbles too.

func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	mix := func(bad reaction, share float64, n int) (all []reaction) {
		for i := range n {
			if float64(i) < float64(n)*(1-share) {
				all = append(all, ok)
			} else {
				all = append(all, bad)
			}
		}
		return all
	}
	tests := map[string]struct {
		reactions []reaction
		gap       time.Duration // between two calls
		end       time.Duration // of each call's context, see ending; they are made at once
		opens     bool          // with the last call
	}{
		"20 of 20":                      {mix(status(503), 1, 20), 0, 0, true},
		"19 of 19 are too few":          {mix(status(503), 1, 19), 0, 0, false},
		"half of 20":                    {mix(status(500), 0.5, 20), 0, 0, true},
		"nine of 20":                    {mix(status(500), 0.45, 20), 0, 0, false},
		"within 30 s":                   {mix(status(502), 1, 20), 1400 * time.Millisecond, 0, true},
		"never 20 within 30 s":          {mix(status(502), 1, 60), 1700 * time.Millisecond, 0, false},
		"408":                           {mix(status(408), 1, 20), 0, 0, true},
		"524":                           {mix(status(524), 1, 20), 0, 0, true},
		"connections":                   {mix(refuse, 1, 20), 0, 0, true},
		"cut streams":                   {mix(cut, 1, 20), 0, 0, true},
		"time limits":                   {mix(hang, 1, 20), 0, 2 * callTime, true},
		"400 is the request's fault":    {mix(status(400), 1, 100), 0, 0, false},
		"404 is the model's":            {mix(status(404), 1, 100), 0, 0, false},
		"401 is the key's":              {mix(status(401), 1, 100), 0, 0, false},
		"402 is the account's":          {mix(status(402), 1, 100), 0, 0, false},
		"429 is a limit":                {mix(status(429), 1, 100), 0, 0, false},
		"429 of a provider":             {mix(busy, 1, 100), 0, 0, false},
		"empty answers are the model's": {mix(stream(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`), 1, 100), 0, 0, false},
		"our own cancellations":         {mix(hang, 1, 100), 0, -time.Second, false},
		"requests' deadlines":           {mix(hang, 1, 100), 0, time.Second, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _ := newTestCaller(t, nil, tt.reactions...)
				var wg sync.WaitGroup
				for i := range tt.reactions {
					if tt.end != 0 {
						wg.Go(func() { _ = p.once(ending(t, tt.end)) })
						continue
					}
					if p.breaker.IsOpen() {
						t.Fatalf("open after %d of %d calls", i, len(tt.reactions))
					}
					p.keys = testKeys(0, "key-a") // a key that cools down would keep calls away
					_ = p.once(t.Context())
					if i < len(tt.reactions)-1 && tt.gap > 0 {
						_ = sleep(t.Context(), tt.gap)
					}
				}
				wg.Wait()
				if p.breaker.IsOpen() != tt.opens {
					t.Errorf("after %d calls: got %v, want open: %v", len(tt.reactions), p.breaker.State(), tt.opens)
				}
				if wait, why := p.Pause(); tt.opens && (wait != breakerDelay || why != "circuit breaker open") {
					t.Errorf("pause: got %v, %q, want %v", wait, why, breakerDelay)
				}
			})
		})
	}
}

// How long the breaker stays open: 5 s, twice as long each time its probes
// fail, a minute at most, and 5 s again after OpenRouter had recovered.
func TestBreakerDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, status(503))
		for round := range 2 {
			up.set(status(503))
			p.trip(t)
			for i, seconds := range []int{5, 10, 20, 40, 60, 60, 60} {
				want := time.Duration(seconds) * time.Second
				if got := p.breaker.RemainingDelay(); got != want {
					t.Errorf("round %d, opened %d times: got a delay of %v, want %v", round, i+1, got, want)
				}
				_ = sleep(t.Context(), want-1)
				if err := p.once(t.Context()); !errors.Is(err, circuitbreaker.ErrOpen) {
					t.Errorf("round %d, opened %d times, just before %v: got %v, want a refusal", round, i+1, want, err)
				}
				_ = sleep(t.Context(), 1)
				if wait, why := p.Pause(); wait != 0 || why != "" {
					t.Errorf("pause when probes are due: got %v, %q, want none: somebody has to ask", wait, why)
				}
				for range probeSuccesses { // so many of the probes must fail
					if err := p.once(t.Context()); errors.Is(err, circuitbreaker.ErrOpen) {
						t.Fatalf("round %d, opened %d times: a probe was refused", round, i+1)
					}
				}
			}
			_ = sleep(t.Context(), breakerDelayMax)
			up.set(ok)
			for range probeSuccesses {
				if err := p.once(t.Context()); err != nil {
					t.Fatalf("a probe: got %v, want an answer", err)
				}
			}
			if !p.breaker.IsClosed() {
				t.Fatalf("after %d successful probes: got %v, want closed", probeSuccesses, p.breaker.State())
			}
		}
	})
}

// Calls under way wait while the breaker is open, and go on by themselves.
func TestCallsWaitForTheBreaker(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		end      time.Duration // the context's, see ending
		attempts int
		min, max time.Duration
		code     events.Code
		wait     time.Duration
	}{
		"until it closes":          {0, 1, 5 * time.Second, 5*time.Second + 3*probePolling/2, "", 0},
		"deadline after it closes": {6 * time.Second, 1, 5 * time.Second, 5*time.Second + 3*probePolling/2, "", 0},
		"deadline before":          {4 * time.Second, 0, 0, 0, events.UpstreamUnavailable, 5 * time.Second},
		"cancelled":                {-3 * time.Second, 0, 3 * time.Second, 3 * time.Second, events.Cancelled, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, up := newTestCaller(t, nil, ok)
				p.trip(t)
				start := time.Now()
				re := p.ask(ending(t, tt.end))
				took := time.Since(start)
				checkReply(t, re, tt.code)
				if re.Attempts != tt.attempts || len(up.calls) != tt.attempts || took < tt.min || took > tt.max {
					t.Errorf("got %d attempts, %d calls in %v, want %d in %v to %v", re.Attempts, len(up.calls), took, tt.attempts, tt.min, tt.max)
				}
				if tt.code != "" && re.Err.Wait != tt.wait {
					t.Errorf("wait: got %v, want %v", re.Err.Wait, tt.wait)
				}
				noneInUse(t, p.keys)
			})
		})
	}
}

// Three probes at a time, the others wait; a deadline that passes meanwhile is
// the request's. A refused attempt is not an attempt: it neither uses one up
// nor makes the next wait longer.
func TestRefusedAttemptsAreNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, slow(30*time.Second, ok))
		p.trip(t)
		_ = sleep(t.Context(), breakerDelay)
		var wg sync.WaitGroup
		for range probes {
			wg.Go(func() { checkReply(t, p.ask(t.Context()), "") })
		}
		synctest.Wait()
		up.set(status(503), status(503), ok)
		wg.Go(func() {
			re := p.ask(ending(t, 10*time.Second))
			checkReply(t, re, events.DeadlineExceeded)
			if re.Attempts != 0 {
				t.Errorf("deadline while the probes were under way: got %d attempts, want none", re.Attempts)
			}
		})
		start := time.Now()
		re := p.ask(t.Context()) // refused about a hundred times
		checkReply(t, re, "")
		if took := time.Since(start); re.Attempts != 3 || took > 30*time.Second+2250*time.Millisecond+3*probePolling {
			t.Errorf("got %d attempts in %v, want 3, and the usual waits after the 30 s of the probes", re.Attempts, took)
		}
		wg.Wait()
		if n := len(up.calls); n != probes+3 {
			t.Errorf("calls: got %d, want %d", n, probes+3)
		}
	})
}

// What we ended ourselves, or never made, does not close the breaker.
func TestOurOwnEndsAreNoSuccess(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end     time.Duration
		resting bool
	}{
		"cancelled": {end: -time.Second},
		"deadline":  {end: time.Second},
		"no key":    {resting: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _ := newTestCaller(t, nil, hang)
				p.trip(t)
				_ = sleep(t.Context(), breakerDelay)
				if tt.resting {
					p.keys.failed(take(t, p.keys, 0), noCredit())
				}
				for range probeSuccesses {
					_ = p.once(ending(t, tt.end))
				}
				if !p.breaker.IsOpen() || p.breaker.RemainingDelay() != 2*breakerDelay {
					t.Errorf("got %v for %v, want open for %v", p.breaker.State(), p.breaker.RemainingDelay(), 2*breakerDelay)
				}
			})
		})
	}
}

// Who waited for a key while the breaker opened does not call.
func TestBreakerOpensWhileWaitingForAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, ok)
		p.keys.failed(take(t, p.keys, 0), asks(tooMany(), 2*time.Second))
		done := make(chan Reply)
		start := time.Now()
		go func() { done <- p.ask(t.Context()) }()
		synctest.Wait()
		p.trip(t)
		re := <-done
		checkReply(t, re, "")
		if took := time.Since(start); took < breakerDelay || re.Attempts != 1 || len(up.calls) != 1 {
			t.Errorf("got %d attempts, %d calls in %v, want 1, after the breaker's %v", re.Attempts, len(up.calls), took, breakerDelay)
		}
		noneInUse(t, p.keys)
	})
}

// Whatever happens to many calls at once, every key is given back and every
// call is counted.
func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := []reaction{ok, ok, ok, status(503), status(401), status(402), after(429, 1), busy, cut, refuse, hang, slow(3*time.Second, ok)}
		p, up := newTestCaller(t, func(c *config.Config) {
			c.APIKeys, c.KeysMaxPerMinute = []string{"a", "b", "c"}, 600
		}, func(r *http.Request) (*http.Response, error) { return all[rand.N(len(all))](r) })
		var wg sync.WaitGroup
		var mu sync.Mutex
		attempts := 0
		for range 300 {
			wg.Go(func() {
				re := p.ask(ending(t, time.Duration(rand.N(120)-30)*time.Second))
				mu.Lock()
				defer mu.Unlock()
				attempts += re.Attempts
				if (re.Answer == nil) == (re.Err == nil) || re.Attempts > maxAttempts {
					t.Errorf("got %+v, want an answer or an error after at most %d attempts", re, maxAttempts)
				}
			})
		}
		wg.Wait()
		if attempts != len(up.calls) {
			t.Errorf("attempts: %d were counted and %d made", attempts, len(up.calls))
		}
		noneInUse(t, p.keys)
	})
}
