package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// The tests of this file run in bubbles, where time passes only when everybody
// waits, before an OpenRouter without a network.

func TestRetry(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := map[string]struct {
		answers  []answer // the last repeats
		deadline time.Duration
		attempts int
		min, max time.Duration // until call returned
		code     events.Code   // empty for an answer
		wait     time.Duration // of the fault
	}{
		"answer at once":                    {[]answer{ok}, 0, 1, 0, 0, "", 0},
		"second attempt":                    {[]answer{status(503), ok}, 0, 2, 250 * ms, 750 * ms, "", 0},
		"third attempt":                     {[]answer{status(503), refuse, ok}, 0, 3, 750 * ms, 2250 * ms, "", 0},
		"no fourth":                         {[]answer{status(503), status(502), cut, ok}, 0, 3, 750 * ms, 2250 * ms, events.UpstreamInvalidResponse, 0},
		"not what a short wait cannot heal": {[]answer{status(400), ok}, 0, 1, 0, 0, events.InvalidRequest, 0},
		"nor what heals much later":         {[]answer{status(501), ok}, 0, 1, 0, 0, events.UpstreamUnavailable, 0},
		"429 of a busy provider":            {[]answer{busy, ok}, 0, 2, 250 * ms, 750 * ms, "", 0},
		"Retry-After to the full":           {[]answer{after(503, 7), ok}, 0, 2, 7 * time.Second, 7700 * ms, "", 0},
		"Retry-After twice":                 {[]answer{after(503, 7), after(503, 2), ok}, 0, 3, 9 * time.Second, 9900 * ms, "", 0},
		"Retry-After of RETRY_WAIT_MAX":     {[]answer{after(503, 20), ok}, 0, 2, 20 * time.Second, 22 * time.Second, "", 0},
		"Retry-After above it":              {[]answer{after(503, 21), ok}, 0, 1, 0, 0, events.UpstreamUnavailable, 21 * time.Second},
		"Retry-After above it, later":       {[]answer{after(503, 1), after(503, 21), ok}, 0, 2, time.Second, 1100 * ms, events.UpstreamUnavailable, 21 * time.Second},
		"Retry-After beyond the deadline":   {[]answer{after(503, 10), ok}, 9 * time.Second, 1, 0, 0, events.UpstreamUnavailable, 10 * time.Second},
		"Retry-After before the deadline":   {[]answer{after(503, 10), ok}, 12 * time.Second, 2, 10 * time.Second, 11 * time.Second, "", 0},
		"429, the only key rests":           {[]answer{after(429, 7), ok}, 0, 2, 7 * time.Second, 7 * time.Second, "", 0},
		"429, it rests too long":            {[]answer{after(429, 21), ok}, 0, 1, 0, 0, events.RateLimited, 21 * time.Second},
		"429, it rests beyond the deadline": {[]answer{after(429, 7), ok}, 5 * time.Second, 1, 0, 0, events.RateLimited, 7 * time.Second},
		"401 once":                          {[]answer{status(401), ok}, 0, 2, 0, 0, "", 0},
		"401 twice, no other key":           {[]answer{status(401), status(401), ok}, 0, 2, 0, 0, events.Unauthorized, 0},
		"402, no other key":                 {[]answer{status(402), ok}, 0, 1, 0, 0, events.InsufficientCredits, 0},
		"deadline in the call":              {[]answer{hang}, 5 * time.Second, 1, 5 * time.Second, 5 * time.Second, events.DeadlineExceeded, 0},
		"CALL_TIMEOUT is retried":           {[]answer{hang, ok}, 0, 2, callTime + 250*ms, callTime + 750*ms, "", 0},
		"CALL_TIMEOUT three times":          {[]answer{hang}, 0, 3, 3*callTime + 750*ms, 3*callTime + 2250*ms, events.UpstreamTimeout, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // for the dice in the waits
				synctest.Test(t, func(t *testing.T) {
					p, up := newTestPolicies(t, nil, tt.answers...)
					start := time.Now()
					re := p.ask(ending(t, tt.deadline))
					took := time.Since(start)
					if re.attempts != tt.attempts || len(up.calls) != tt.attempts {
						t.Errorf("attempts: got %d, and %d calls, want %d", re.attempts, len(up.calls), tt.attempts)
					}
					if took < tt.min || took > tt.max {
						t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
					}
					checkReply(t, re, tt.code)
					if tt.code != "" && diagnose(re.err).wait != tt.wait {
						t.Errorf("wait: got %v, want %v", diagnose(re.err).wait, tt.wait)
					}
				})
			}
		})
	}
}

// A fault of one key is no reason to wait while there is another.
func TestAnotherKeyAtOnce(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]answer{
		"401": status(401), "402": status(402), "402 in flight": with(402, `"metadata":{"reason":"in_flight_budget_exhausted"}`, 5),
		"403 key limit": with(403, `"metadata":{"limit_source":"openrouter_key_limit"}`, 0), "429": status(429),
		"429 with a long Retry-After": after(429, 3600),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, up := newTestPolicies(t, func(c *config.Config) { c.APIKeys = []string{"bad", "good"} }, func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("Authorization") == "Bearer bad" {
						return refusal(r)
					}
					return ok(r)
				})
				// The good key has more calls under way, and the request little time.
				busy := []*lease{take(t, p.keys, 0), take(t, p.keys, 0), take(t, p.keys, 0)}
				for _, l := range busy {
					if l.key.secret == "bad" {
						p.keys.done(l, fault{}, false)
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
					p.keys.done(l, fault{}, true)
				}
			})
		})
	}
}

func TestNoKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestPolicies(t, nil, ok)
		p.keys.done(take(t, p.keys, 0), noCredit(), false)
		if wait, why := p.hold(); wait != spentRest || why != "no usable API key (insufficient_credits)" {
			t.Errorf("hold: got %v, %q, want %v for insufficient_credits", wait, why, spentRest)
		}
		start := time.Now()
		re := p.ask(t.Context())
		checkReply(t, re, events.InsufficientCredits)
		if f := diagnose(re.err); re.attempts != 0 || len(up.calls) != 0 || time.Since(start) != 0 || f.wait != spentRest || f.heals != healsLater {
			t.Errorf("got %d attempts, %d calls, %v, %+v, want none, at once, later in %v", re.attempts, len(up.calls), time.Since(start), f, spentRest)
		}
		// It comes back by itself, with one probe.
		if err := sleep(t.Context(), spentRest); err != nil {
			t.Fatal(err)
		}
		if wait, why := p.hold(); wait != 0 || why != "" {
			t.Errorf("hold after the rest: got %v, %q, want none", wait, why)
		}
		checkReply(t, p.ask(t.Context()), "")
	})
}

// The first piece of an answer shows that a key works that was set aside: other
// calls need not wait for the rest of it.
func TestFirstPieceEndsTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestPolicies(t, nil, trickle(time.Second, time.Minute), ok)
		p.keys.done(take(t, p.keys, 0), noCredit(), false)
		_ = sleep(t.Context(), spentRest)
		done := make(chan reply)
		go func() { done <- p.ask(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		checkReply(t, p.ask(t.Context()), "")
		if took := time.Since(start); took < time.Second || took > time.Second+probePollingTime {
			t.Errorf("the second call took %v, want 1 s, until the first one's first piece", took)
		}
		checkReply(t, <-done, "")
	})
}

// An answer that came is paid for, and returned whatever ended meanwhile.
func TestPaidAnswerIsKept(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context, cancel context.CancelCauseFunc){
		"cancelled": func(_ context.Context, cancel context.CancelCauseFunc) { cancel(errCancelled) },
		"stopping":  func(_ context.Context, cancel context.CancelCauseFunc) { cancel(errStopping) },
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
					ctx, stop = context.WithTimeoutCause(ctx, time.Second, errDeadline)
					defer stop()
				}
				p, _ := newTestPolicies(t, nil, func(r *http.Request) (*http.Response, error) {
					end(ctx, cancel)
					return ok(r)
				})
				re := p.ask(ctx)
				checkReply(t, re, "")
				if re.attempts != 1 {
					t.Errorf("attempts: got %d, want 1", re.attempts)
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
				p, _ := newTestPolicies(t, nil, stream(`{"id":"gen-1","choices":[{"index":0,"delta":{},"finish_reason":"error"}],"usage":{"prompt_tokens":3,"cost":0.5}}`))
				start := time.Now()
				re := p.ask(ending(t, tt.after))
				checkReply(t, re, tt.code)
				var billed *openrouter.Error
				if !errors.As(re.err, &billed) || billed.Usage == nil || *billed.Usage.Cost != 0.5 || billed.GenerationID != "gen-1" {
					t.Errorf("error: got %v, want it to know the bill", re.err)
				}
				if took := time.Since(start); took != 100*time.Millisecond || re.attempts != 1 {
					t.Errorf("got %d attempts in %v, want 1 in 100 ms", re.attempts, took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestPolicies(t, nil, ok)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errCancelled)
		re := p.ask(ctx)
		checkReply(t, re, events.Cancelled)
		if re.attempts != 0 || len(up.calls) != 0 {
			t.Errorf("cancelled before the call: got %d attempts, %d calls, want none", re.attempts, len(up.calls))
		}
	})
}

func TestPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestPolicies(t, nil, slow(time.Second, cut), status(503), slow(2*time.Second, ok))
		var got []string
		re := p.call(t.Context(), question(), func(attempt int, text string) { got = append(got, fmt.Sprint(attempt, text)) })
		checkReply(t, re, "")
		if want := []string{"1hel", "3hello"}; !slices.Equal(got, want) {
			t.Errorf("pieces: got %q, want %q", got, want)
		}
		if re.firstToken != time.Second { // of the first attempt
			t.Errorf("first token: got %v after the start, want 1s", re.firstToken)
		}
		p, _ = newTestPolicies(t, nil, status(503), slow(2*time.Second, ok))
		start := time.Now()
		if re := p.ask(t.Context()); re.firstToken != time.Since(start) || re.firstToken < 2*time.Second {
			t.Errorf("first token: got %v after the start, want %v", re.firstToken, time.Since(start))
		}
		p, _ = newTestPolicies(t, nil, slow(time.Second, thinks), slow(time.Second, ok))
		if re := p.ask(t.Context()); re.firstToken != time.Second || re.attempts != 2 {
			t.Errorf("first token: got %v after the start, in %d attempts, want 1s: reasoning counts, and so does an attempt that failed", re.firstToken, re.attempts)
		}
	})
}

// A panic in a call is one request's failure: its key and its place among the
// breaker's probes are given back.
func TestPanicGivesEverythingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestPolicies(t, nil, ok)
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
				p.call(t.Context(), question(), func(int, string) { panic("boom") })
			}()
		}
		noneInUse(t, p.keys)
		re := p.ask(ending(t, time.Minute))
		checkReply(t, re, "")
	})
}

// Promise 7: what a provider says may quote the prompt.
func TestRetryLogQuotesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestPolicies(t, nil, with(502, `"message":"Provider returned error","metadata":{"raw":"bad prompt: why is the sky blue"}`, 0), hang, ok)
		var log bytes.Buffer
		p.tel.Logger = slog.New(slog.NewTextHandler(&log, nil))
		checkReply(t, p.ask(t.Context()), "")
		for _, want := range []string{"attempt=1", "attempt=2", "code=upstream_unavailable", `failing (502)`, "code=upstream_timeout", `within CALL_TIMEOUT`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log: want %s in it:\n%s", want, &log)
			}
		}
		if strings.Contains(log.String(), "sky") {
			t.Errorf("log quotes the prompt:\n%s", &log)
		}
	})
}

// callTime is CALL_TIMEOUT in these tests, shorter than the other time limits.
const callTime = 50 * time.Second

// testPolicies are policies before an upstream.
type testPolicies struct{ *policies }

func newTestPolicies(t *testing.T, change func(*config.Config), answers ...answer) (testPolicies, *upstream) {
	t.Helper()
	var c config.Config
	c.APIKeys, c.KeysCooldownSeconds, c.RetryWaitMax, c.CallTimeout = []string{"key-a"}, int(cooldown/time.Second), 20*time.Second, callTime
	if change != nil {
		change(&c)
	}
	up := &upstream{answers: answers}
	client, err := openrouter.New(openrouter.Config{Transport: up})
	if err != nil {
		t.Fatal(err)
	}
	return testPolicies{newPolicies(&c, client, telemetry.Nop())}, up
}

// ask makes a call, with its retries.
func (p testPolicies) ask(ctx context.Context) reply {
	return p.call(ctx, question(), func(int, string) {})
}

// once makes one attempt, if the breaker lets it.
func (p testPolicies) once(ctx context.Context) error {
	c := &calling{policies: p.policies, request: question(), piece: func(int, string) {}}
	_, err := p.guard.WithContext(ctx).Get(func() (*openrouter.Completion, error) { return c.attempt(ctx) })
	return err
}

// trip opens the breaker.
func (p testPolicies) trip(t *testing.T) {
	t.Helper()
	for range breakerCalls {
		_, _ = p.guard.Get(func() (*openrouter.Completion, error) {
			return nil, &openrouter.Error{Kind: openrouter.KindConnection}
		})
	}
	if !p.breaker.IsOpen() {
		t.Fatalf("breaker: got %v after %d failures, want open", p.breaker.State(), breakerCalls)
	}
}

func question() openrouter.Request {
	return openrouter.Request{Model: "m", Messages: openrouter.Messages(openrouter.Message{Role: "user", Content: "Why?"})}
}

// checkReply wants the upstream's answer, or an error with a code.
func checkReply(t *testing.T, re reply, code events.Code) {
	t.Helper()
	switch {
	case code == "" && (re.err != nil || re.answer == nil || re.answer.Content != "hello"):
		t.Errorf("got %+v, error %v, want the answer", re.answer, re.err)
	case code != "" && (re.answer != nil || re.err == nil):
		t.Errorf("got %+v, error %v, want an error with %s", re.answer, re.err, code)
	case code != "" && diagnose(re.err).code != code:
		t.Errorf("got error %v (%s), want %s", re.err, diagnose(re.err).code, code)
	}
}

// upstream is an OpenRouter without a network. It answers calls one after the
// other.
type upstream struct {
	mu      sync.Mutex
	answers []answer // the last repeats
	calls   []string // the key of each
}

// An answer is what it does with a call.
type answer func(*http.Request) (*http.Response, error)

func (u *upstream) set(answers ...answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers = answers
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	next := u.answers[0]
	if len(u.answers) > 1 {
		u.answers = u.answers[1:]
	}
	u.calls = append(u.calls, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	u.mu.Unlock()
	return next(r)
}

func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// stream sends events.
func stream(events ...string) answer {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, http.StatusOK, "data: "+strings.Join(events, "\n\ndata: ")+"\n\n"), nil
	}
}

// ok answers "hello".
func ok(r *http.Request) (*http.Response, error) {
	return stream(`{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}`, "[DONE]")(r)
}

// cut breaks off after "hel".
func cut(r *http.Request) (*http.Response, error) {
	return stream(`{"choices":[{"index":0,"delta":{"content":"hel"}}]}`)(r)
}

// thinks breaks off before the answer begins.
func thinks(r *http.Request) (*http.Response, error) {
	return stream(`{"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}`)(r)
}

// refuse does not even connect.
func refuse(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// hang answers nothing until the call is ended.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// busy is a provider's 429 without a time.
func busy(r *http.Request) (*http.Response, error) {
	return with(http.StatusTooManyRequests, `"metadata":{"raw":"busy"}`, 0)(r)
}

// status answers with an error of that status.
func status(code int) answer { return with(code, `"metadata":{}`, 0) }

// after answers with an error and a Retry-After.
func after(code, seconds int) answer { return with(code, `"metadata":{}`, seconds) }

// with answers with an error that has further fields.
func with(code int, fields string, retryAfter int) answer {
	return func(r *http.Request) (*http.Response, error) {
		re := response(r, code, fmt.Sprintf(`{"error":{"message":"no","code":%d,%s}}`, code, fields))
		if retryAfter > 0 {
			re.Header.Set("Retry-After", strconv.Itoa(retryAfter))
		}
		return re, nil
	}
}

// trickle answers with the first half after a while, with the second after
// another.
func trickle(first, second time.Duration) answer {
	return func(r *http.Request) (*http.Response, error) {
		body, w := io.Pipe()
		go func() {
			_ = sleep(r.Context(), first)
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}`+"\n\n")
			_ = sleep(r.Context(), second)
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
			_ = w.Close()
		}()
		re := response(r, http.StatusOK, "")
		re.Body = body
		return re, nil
	}
}

// slow answers after a while, unless the call is ended.
func slow(wait time.Duration, then answer) answer {
	return func(r *http.Request) (*http.Response, error) {
		if err := sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		return then(r)
	}
}
