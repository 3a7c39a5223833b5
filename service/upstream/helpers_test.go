package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// testKeys is a pool of keys, with a limit of calls a minute; 0: none.
func testKeys(perMinute int, secrets ...string) *keys {
	return newKeys(config.OpenRouter{APIKeys: secrets, KeysMaxPerMinute: perMinute, KeysCooldownSeconds: int(cooldown / time.Second), KeysRestMax: restMax, CallTimeout: callTime})
}

// begin waits for a key and for its turn, as an attempt does.
func begin(ctx context.Context, k *keys, wait time.Duration, avoid *apiKey) (*lease, error) {
	for {
		l, err := k.lend(ctx, wait, need{avoid: avoid})
		if err != nil {
			return nil, err
		}
		err = l.key.turns.take(ctx, func() error {
			if !k.usable(l) {
				return errKeyUnusable
			}
			return nil
		})
		l.leaveLine()
		if err == nil {
			return l, nil
		}
		k.release(l)
		if !errors.Is(err, errKeyUnusable) {
			return nil, err
		}
	}
}

func take(t *testing.T, k *keys, wait time.Duration) *lease {
	t.Helper()
	l, err := begin(t.Context(), k, wait, nil)
	if err != nil {
		t.Fatalf("no key within %v: %v", wait, err)
	}
	return l
}

// ending is a context with a deadline, or one that is cancelled after a
// negative time, or neither.
func ending(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	switch {
	case after < 0:
		timer := time.AfterFunc(-after, func() { cancel(ErrCancelled) })
		t.Cleanup(func() { timer.Stop() })
	case after > 0:
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, after, ErrDeadline)
		t.Cleanup(stop)
	}
	return ctx
}

func noneInUse(t *testing.T, k *keys) {
	t.Helper()
	for _, key := range k.all {
		if key.inFlight != 0 || key.probe != nil {
			t.Errorf("key %s: %d calls under way, probe %v, want none", key.secret, key.inFlight, key.probe)
		}
		if key.turns != nil && key.turns.waiting != 0 {
			t.Errorf("key %s: %d calls in line, want none", key.secret, key.turns.waiting)
		}
	}
}

func newTestCaller(t *testing.T, change func(*config.Config), reactions ...reaction) (testCaller, *fakeRouter) {
	t.Helper()
	var c config.Config
	c.Model = "google/m"
	c.APIKeys, c.KeysCooldownSeconds, c.KeysRestMax, c.RetryWaitMax, c.CallTimeout = []string{"key-a"}, int(cooldown/time.Second), restMax, 20*time.Second, callTime
	if change != nil {
		change(&c)
	}
	up := &fakeRouter{reactions: reactions}
	client, err := openrouter.New(openrouter.Config{Transport: up, Call: c.CallTimeout})
	if err != nil {
		t.Fatal(err)
	}
	return testCaller{newCaller(c, &url.URL{Scheme: "https", Host: "openrouter.ai"}, client, quiet(t))}, up
}

// quiet is telemetry that nobody sees.
func quiet(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	return tel
}

// lend is acquire with a lease of its own.
func (k *keys) lend(ctx context.Context, maxWait time.Duration, n need) (*lease, error) {
	l := &lease{}
	if err := k.acquire(ctx, maxWait, n, l); err != nil {
		return nil, err
	}
	return l, nil
}

func ignore(int, string) {}

// run makes a call, with its retries.
func (p testCaller) run(ctx context.Context, piece func(int, string)) (Reply, *call) {
	c := &call{caller: p.Caller, event: &events.Request{}, request: question(), piece: piece, start: time.Now()}
	p.do(ctx, c)
	return c.reply, c
}

func (p testCaller) ask(ctx context.Context) Reply {
	re, _ := p.run(ctx, ignore)
	return re
}

// once makes one attempt, if the breaker lets it.
func (p testCaller) once(ctx context.Context) error {
	c := &call{caller: p.Caller, event: &events.Request{}, request: question(), piece: ignore}
	return p.breaker.run(ctx, c, (*Caller).withKey)
}

// trip opens the breaker.
func (p testCaller) trip(t *testing.T) {
	t.Helper()
	for range breakerCalls {
		_ = p.breaker.run(t.Context(), &call{caller: p.Caller}, func(*Caller, context.Context, *call) error { return newError(kindConnection, 0) })
	}
	if !p.breaker.IsOpen() {
		t.Fatalf("breaker: got %v after %d failures, want open", p.breaker.State(), breakerCalls)
	}
}

func question() openrouter.Request {
	return openrouter.Request{Model: "m", Messages: json.RawMessage(`[{"role":"user","content":"Why?"}]`)}
}

// checkReply wants the upstream's answer, or an error with a code.
func checkReply(t *testing.T, re Reply, code events.Code) {
	t.Helper()
	switch {
	case code == "" && (re.Err != nil || re.Answer == nil || re.Answer.Content != "hello"):
		t.Errorf("got %+v, error %v, want the answer", re.Answer, re.Err)
	case code != "" && (re.Answer != nil || re.Err == nil):
		t.Errorf("got %+v, error %v, want an error with %s", re.Answer, re.Err, code)
	case code != "" && re.Err.Code != code:
		t.Errorf("got error %v (%s), want %s", re.Err, re.Err.Code, code)
	}
}
