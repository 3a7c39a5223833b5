package upstream

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// The tests of this file run in bubbles, where time passes only when everybody
// waits, before an OpenRouter without a network.

func TestRetry(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := map[string]struct {
		reactions []reaction // the last repeats
		deadline  time.Duration
		attempts  int
		min, max  time.Duration // until call returned
		code      events.Code   // empty for an answer
		wait      time.Duration // of the fault
	}{
		"answer at once":                    {[]reaction{ok}, 0, 1, 0, 0, "", 0},
		"second attempt":                    {[]reaction{status(503), ok}, 0, 2, 250 * ms, 750 * ms, "", 0},
		"third attempt":                     {[]reaction{status(503), refuse, ok}, 0, 3, 750 * ms, 2250 * ms, "", 0},
		"no fourth":                         {[]reaction{status(503), status(502), cut, ok}, 0, 3, 750 * ms, 2250 * ms, events.UpstreamInvalidResponse, 0},
		"not what a short wait cannot heal": {[]reaction{status(400), ok}, 0, 1, 0, 0, events.InvalidRequest, 0},
		"nor what heals much later":         {[]reaction{status(501), ok}, 0, 1, 0, 0, events.UpstreamUnavailable, 0},
		"429 of a busy provider":            {[]reaction{busy, ok}, 0, 2, 250 * ms, 750 * ms, "", 0},
		"Retry-After to the full":           {[]reaction{after(503, 7), ok}, 0, 2, 7 * time.Second, 7700 * ms, "", 0},
		"Retry-After twice":                 {[]reaction{after(503, 7), after(503, 2), ok}, 0, 3, 9 * time.Second, 9900 * ms, "", 0},
		"Retry-After of RETRY_WAIT_MAX":     {[]reaction{after(503, 20), ok}, 0, 2, 20 * time.Second, 22 * time.Second, "", 0},
		"Retry-After above it":              {[]reaction{after(503, 21), ok}, 0, 1, 0, 0, events.UpstreamUnavailable, 21 * time.Second},
		"Retry-After above it, later":       {[]reaction{after(503, 1), after(503, 21), ok}, 0, 2, time.Second, 1100 * ms, events.UpstreamUnavailable, 21 * time.Second},
		"Retry-After beyond the deadline":   {[]reaction{after(503, 10), ok}, 9 * time.Second, 1, 0, 0, events.UpstreamUnavailable, 10 * time.Second},
		"Retry-After before the deadline":   {[]reaction{after(503, 10), ok}, 12 * time.Second, 2, 10 * time.Second, 11 * time.Second, "", 0},
		"429, the only key cools down":      {[]reaction{after(429, 7), ok}, 0, 2, 7 * time.Second, 7 * time.Second, "", 0},
		"429, it cools too long":            {[]reaction{after(429, 21), ok}, 0, 1, 0, 0, events.RateLimited, 21 * time.Second},
		"429, it cools beyond the deadline": {[]reaction{after(429, 7), ok}, 5 * time.Second, 1, 0, 0, events.RateLimited, 7 * time.Second},
		"401 once":                          {[]reaction{status(401), ok}, 0, 2, 0, 0, "", 0},
		"401 twice, no other key":           {[]reaction{status(401), status(401), ok}, 0, 2, 0, 0, events.Unauthorized, 0},
		"402, no other key":                 {[]reaction{status(402), ok}, 0, 1, 0, 0, events.InsufficientCredits, 0},
		"deadline in the call":              {[]reaction{hang}, 5 * time.Second, 1, 5 * time.Second, 5 * time.Second, events.DeadlineExceeded, 0},
		"CALL_TIMEOUT is retried":           {[]reaction{hang, ok}, 0, 2, callTime + 250*ms, callTime + 750*ms, "", 0},
		"CALL_TIMEOUT is retried once":      {[]reaction{hang}, 0, 2, 2*callTime + 250*ms, 2*callTime + 750*ms, events.UpstreamTimeout, 0},
		"once beside another failure":       {[]reaction{hang, status(503), hang, ok}, 0, 3, 2*callTime + 750*ms, 2*callTime + 2250*ms, events.UpstreamTimeout, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // for the dice in the waits
				synctest.Test(t, func(t *testing.T) {
					p, up := newTestCaller(t, nil, tt.reactions...)
					start := time.Now()
					re := p.ask(ending(t, tt.deadline))
					took := time.Since(start)
					if re.Attempts != tt.attempts || len(up.calls) != tt.attempts {
						t.Errorf("attempts: got %d, and %d calls, want %d", re.Attempts, len(up.calls), tt.attempts)
					}
					if took < tt.min || took > tt.max {
						t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
					}
					checkReply(t, re, tt.code)
					if tt.code != "" && re.Err.Wait != tt.wait {
						t.Errorf("wait: got %v, want %v", re.Err.Wait, tt.wait)
					}
				})
			}
		})
	}
}

// A fault of one key is no reason to wait while there is another.
func TestAnotherKeyAtOnce(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]reaction{
		"401": status(401), "402": status(402), "402 in flight": with(402, `"metadata":{"reason":"in_flight_budget_exhausted"}`, 5),
		"403 key limit": with(403, `"metadata":{"limit_source":"openrouter_key_limit"}`, 0), "429": status(429),
		"429 with a long Retry-After": after(429, 3600),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, up := newTestCaller(t, func(c *config.Config) { c.APIKeys = []string{"bad", "good"} }, func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("Authorization") == "Bearer bad" {
						return refusal(r)
					}
					return ok(r)
				})
				// The good key has more calls under way, and the request little time.
				busy := []*lease{take(t, p.keys, 0), take(t, p.keys, 0), take(t, p.keys, 0)}
				for _, l := range busy {
					if l.key.secret == "bad" {
						p.keys.release(l)
					}
				}
				for range 2 {
					start := time.Now()
					re := p.ask(ending(t, 2*time.Second))
					checkReply(t, re, "")
					if took := time.Since(start); took != 0 {
						t.Errorf("took %v, want no time; calls: %v", took, up.calls)
					}
				}
				if calls := strings.Join(up.calls, " "); strings.Contains(calls, strings.Repeat("bad ", 2)) || !strings.HasPrefix(calls, "bad good") {
					t.Errorf("calls: got %s, want the good key after each refusal", calls)
				}
				for _, l := range busy {
					p.keys.succeeded(l)
				}
			})
		})
	}
}

func TestNoKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, ok)
		p.keys.failed(take(t, p.keys, 0), noCredit())
		if wait, why := p.Pause(); wait != spentCooldown || why != "no usable API key (insufficient_credits)" {
			t.Errorf("pause: got %v, %q, want %v for insufficient_credits", wait, why, spentCooldown)
		}
		start := time.Now()
		re := p.ask(t.Context())
		checkReply(t, re, events.InsufficientCredits)
		if f := re.Err; re.Attempts != 0 || len(up.calls) != 0 || time.Since(start) != 0 || f.Wait != spentCooldown || f.Heals != Later {
			t.Errorf("got %d attempts, %d calls, %v, %+v, want none, at once, later in %v", re.Attempts, len(up.calls), time.Since(start), f, spentCooldown)
		}
		// It comes back by itself, with one probe.
		if err := sleep(t.Context(), spentCooldown); err != nil {
			t.Fatal(err)
		}
		if wait, why := p.Pause(); wait != 0 || why != "" {
			t.Errorf("pause after the cool-down: got %v, %q, want none", wait, why)
		}
		checkReply(t, p.ask(t.Context()), "")
	})
}

// The first piece of an answer shows that a key works that was set aside: other
// calls need not wait for the rest of its answer.
func TestFirstPieceEndsTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, nil, trickle(time.Second, time.Minute), ok)
		p.keys.failed(take(t, p.keys, 0), noCredit())
		_ = sleep(t.Context(), spentCooldown)
		done := make(chan Reply)
		go func() { done <- p.ask(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		checkReply(t, p.ask(t.Context()), "")
		if took := time.Since(start); took < time.Second || took > time.Second+probePolling {
			t.Errorf("the second call took %v, want 1 s, until the first one's first piece", took)
		}
		checkReply(t, <-done, "")
	})
}

// An answer that came is paid for, and returned whatever ended meanwhile.
func TestPaidAnswerIsKept(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context, cancel context.CancelCauseFunc){
		"cancelled": func(_ context.Context, cancel context.CancelCauseFunc) { cancel(ErrCancelled) },
		"stopping":  func(_ context.Context, cancel context.CancelCauseFunc) { cancel(ErrStopping) },
		"deadline":  func(ctx context.Context, _ context.CancelCauseFunc) { <-ctx.Done() },
		"CALL_TIMEOUT": func(context.Context, context.CancelCauseFunc) {
			<-time.After(callTime + time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if name == "deadline" {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeoutCause(ctx, time.Second, ErrDeadline)
					defer stop()
				}
				p, _ := newTestCaller(t, nil, func(r *http.Request) (*http.Response, error) {
					end(ctx, cancel)
					return ok(r)
				})
				re := p.ask(ctx)
				checkReply(t, re, "")
				if re.Attempts != 1 {
					t.Errorf("attempts: got %d, want 1", re.Attempts)
				}
			})
		})
	}
}

// A call that ends between two attempts says who ended it, and keeps the bill
// of the attempt before.
func TestEndBetweenAttempts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after time.Duration
		code  events.Code
	}{
		"cancelled": {-100 * time.Millisecond, events.Cancelled},
		"deadline":  {100 * time.Millisecond, events.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _ := newTestCaller(t, nil, stream(`{"id":"gen-1","choices":[{"index":0,"delta":{},"finish_reason":"error"}],"usage":{"prompt_tokens":3,"cost":0.5}}`))
				start := time.Now()
				re := p.ask(ending(t, tt.after))
				checkReply(t, re, tt.code)
				if re.Usage.Cost == nil || *re.Usage.Cost != 0.5 || re.Usage.GenerationID != "gen-1" {
					t.Errorf("usage: got %+v, want that of the attempt", re.Usage)
				}
				if took := time.Since(start); took != 100*time.Millisecond || re.Attempts != 1 {
					t.Errorf("got %d attempts in %v, want 1 in 100 ms", re.Attempts, took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, ok)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrCancelled)
		re := p.ask(ctx)
		checkReply(t, re, events.Cancelled)
		if re.Attempts != 0 || len(up.calls) != 0 {
			t.Errorf("cancelled before the call: got %d attempts, %d calls, want none", re.Attempts, len(up.calls))
		}
	})
}

func TestPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, nil, slow(time.Second, cut), status(503), slow(2*time.Second, ok))
		var got []string
		re, c := p.run(t.Context(), func(attempt int, text string) { got = append(got, fmt.Sprint(attempt, text)) })
		checkReply(t, re, "")
		if want := []string{"1hel", "3hello"}; !slices.Equal(got, want) {
			t.Errorf("pieces: got %q, want %q", got, want)
		}
		if c.firstToken != time.Second { // of the first attempt
			t.Errorf("first token: got %v after the start, want 1s", c.firstToken)
		}
		p, _ = newTestCaller(t, nil, status(503), slow(2*time.Second, ok))
		start := time.Now()
		if _, c := p.run(t.Context(), ignore); c.firstToken != time.Since(start) || c.firstToken < 2*time.Second {
			t.Errorf("first token: got %v after the start, want %v", c.firstToken, time.Since(start))
		}
		p, _ = newTestCaller(t, nil, slow(time.Second, thinks), slow(time.Second, ok))
		if re, c := p.run(t.Context(), ignore); c.firstToken != time.Second || re.Attempts != 2 {
			t.Errorf("first token: got %v after the start, in %d attempts, want 1s: reasoning counts, and so does an attempt that failed", c.firstToken, re.Attempts)
		}
	})
}

// A panic in a call is one request's failure: its key and its place among the
// breaker's probes are given back.
func TestPanicGivesEverythingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, nil, ok)
		p.trip(t)
		if err := sleep(t.Context(), p.breaker.RemainingDelay()); err != nil {
			t.Fatal(err)
		}
		for range probes {
			func() {
				defer func() {
					if got := recover(); got != "boom" {
						t.Errorf("panic: got %v, want it to go on", got)
					}
				}()
				p.run(t.Context(), func(int, string) { panic("boom") })
			}()
		}
		noneInUse(t, p.keys)
		re := p.ask(ending(t, time.Minute))
		checkReply(t, re, "")
	})
}

// callTime is CALL_TIMEOUT in these tests, shorter than the other time limits.
const callTime = 50 * time.Second

// testCaller is a caller before an OpenRouter without a network.
type testCaller struct{ *Caller }
