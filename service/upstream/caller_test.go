package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/service/upstream"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, nil)
	var text strings.Builder
	attempts := map[int]bool{}
	re := b.Answer(t.Context(), new(request("Why is the sky blue? [sim:503 times=1]")), func(attempt int, piece string) {
		attempts[attempt] = true
		text.WriteString(piece)
	})
	if re.Err != nil || re.Answer.Content == "" || re.Answer.Content != text.String() || re.Attempts != 2 || !maps.Equal(attempts, map[int]bool{2: true}) {
		t.Errorf("got %+v, %v and pieces of attempts %v: %q", re.Answer, re.Err, attempts, &text)
	}
	if u := re.Usage; u.Usage == nil || u.Usage.CompletionTokens == 0 || u.Cost == nil || *u.Cost != b.router.Cost() || u.GenerationID == "" || u.Provider == "" || u.FinishReason != "stop" {
		t.Errorf("usage: got %+v", u)
	}
}

// Close closes the connections that calls have left for others, through all that wraps
// the transport.
func TestCloseClosesConnections(t *testing.T) {
	t.Parallel()
	idle, closed := make(chan struct{}, 1), make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state { //nolint:exhaustive // the others come before
		case http.StateIdle:
			idle <- struct{}{}
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	caller, err := upstream.New(settings(t, server.URL), quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	if re := caller.Answer(t.Context(), new(request("Why?")), func(int, string) {}); re.Err != nil {
		t.Fatal(re.Err)
	}
	<-idle
	caller.Close()
	select {
	case <-closed:
	case <-time.After(servicetest.Patience):
		t.Error("the connection is still open")
	}
}

// A request's deadline and the caller's context end the call, and say which.
func TestAnswerEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, nil)
	hangs := request("hm [sim:hang_after_headers]")
	hangs.Deadline = time.Now().Add(50 * time.Millisecond)
	if re := b.Answer(t.Context(), &hangs, func(int, string) {}); re.Err == nil || re.Err.Code != events.DeadlineExceeded || re.Err.Heals != upstream.Never {
		t.Errorf("deadline: got %+v", re.Err)
	}
	hangs.Deadline = time.Time{}
	for cause, code := range map[error]events.Code{upstream.ErrCancelled: events.Cancelled, upstream.ErrStopping: events.Internal} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if re := b.Answer(ctx, &hangs, func(int, string) {}); re.Err == nil || re.Err.Code != code || re.Attempts != 0 {
			t.Errorf("%v: got %+v after %d attempts", cause, re.Err, re.Attempts)
		}
	}
}

// No text of a failure quotes the request, though providers do.
func TestAnswerQuotesNothing(t *testing.T) {
	t.Parallel()
	const secret = "the launch code of the moon base is 0-0-0-0"
	b := newBench(t, simulator.Config{}, func(c *config.Config) { c.BaseURL = refusing(t, http.StatusBadRequest, "do not say "+secret) })
	re := b.Answer(t.Context(), new(request(secret)), func(int, string) {})
	if re.Err == nil || !strings.Contains(re.Err.Message, "the rest quotes the request") {
		t.Fatalf("got %+v: the test needs a provider that quotes", re.Err)
	}
	for name, text := range map[string]string{"message": re.Err.Error(), "log": b.log.String()} {
		if strings.Contains(text, "launch code") {
			t.Errorf("%s quotes the prompt: %s", name, text)
		}
	}
}

// The span of a call says what was asked for, what came and what it cost, and
// nothing of the texts.
func TestChatSpan(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, nil)
	r := request("hello")
	r.OpenRouter = map[string]json.RawMessage{
		"seed": json.RawMessage("7"), "frequency_penalty": json.RawMessage("0.5"), "presence_penalty": json.RawMessage(`"odd"`),
		"response_format": json.RawMessage(`{"type":"json_object"}`),
	}
	b.Answer(t.Context(), &r, func(int, string) {})
	plain := request("no [sim:402_weight]")
	plain.OpenRouter = map[string]json.RawMessage{"response_format": json.RawMessage(`{"type":"text"}`)}
	b.Answer(t.Context(), &plain, func(int, string) {})
	odd := request("hello")
	odd.OpenRouter = map[string]json.RawMessage{"response_format": json.RawMessage(`{"type":"grammar"}`)}
	b.Answer(t.Context(), &odd, func(int, string) {})
	var chats []map[string]string
	for _, s := range b.spans.GetSpans() {
		if !strings.HasPrefix(s.Name, "chat ") {
			continue
		}
		attrs := map[string]string{}
		for _, a := range s.Attributes {
			attrs[string(a.Key)] = a.Value.String()
		}
		chats = append(chats, attrs)
	}
	if len(chats) != 3 {
		t.Fatalf("chat spans: got %d, want 3", len(chats))
	}
	for key, want := range map[string]string{
		"gen_ai.request.model": "google/gemini-2.5-flash", "gen_ai.request.seed": "7", "gen_ai.request.frequency_penalty": "0.5", "gen_ai.request.presence_penalty": "",
		"gen_ai.output.type": "json", "error.type": "", "server.address": "127.0.0.1",
	} {
		if got := chats[0][key]; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if chats[0]["openrouter.usage.cost"] == "" || chats[0]["gen_ai.usage.output_tokens"] == "" || chats[0]["gen_ai.response.id"] == "" {
		t.Errorf("usage is missing: %v", chats[0])
	}
	if chats[1]["error.type"] != "insufficient_credits" || chats[1]["gen_ai.output.type"] != "text" || chats[2]["gen_ai.output.type"] != "" {
		t.Errorf("got %v and %v", chats[1], chats[2])
	}
}

// What people on call see of breaker and keys.
func TestStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, nil)
	if s := b.Status(); s.Breaker != "closed" || s.Keys["usable"] != 2 || len(s.KeyList) != 2 || s.KeyList[0].End != "ef-1" {
		t.Errorf("at the start: got %+v", s)
	}
	re := b.Answer(t.Context(), new(request("no [sim:402]")), func(int, string) {})
	if re.Err == nil || re.Err.Code != events.InsufficientCredits {
		t.Fatalf("got %+v", re.Err)
	}
	if s := b.Status(); s.Keys["usable"] != 0 || s.Keys["insufficient_credits"] != 2 {
		t.Errorf("spent: got %+v", s)
	}
	if wait, why := b.Pause(); wait <= 0 || !strings.Contains(why, "insufficient_credits") {
		t.Errorf("pause: got %v, %q", wait, why)
	}
}

// The default model is looked up at start, and what stands against it is said.
func TestModelIsChecked(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		simulated simulator.Config
		status    int // instead of the simulator's; 0: none
		says      string
	}{
		"offered":     {simulator.Config{}, 0, ""},
		"about to go": {simulator.Config{Expirations: map[string]string{"google/gemini-2.5-flash": "2026-12-01"}}, 0, `"on":"2026-12-01"`},
		"unknown":     {simulator.Config{}, http.StatusNotFound, "OpenRouter does not know the model"},
		"not told":    {simulator.Config{}, http.StatusUnauthorized, "the model was not checked"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.simulated, func(c *config.Config) {
				if tt.status != 0 {
					c.BaseURL = refusing(t, tt.status, "no")
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { b.Run(ctx) })
			until(t, func() bool { // with nothing to say: until the model and both keys were asked about
				return (tt.says != "" || len(b.spans.GetSpans()) >= 3) && strings.Contains(b.log.String(), tt.says)
			})
			cancel()
			running.Wait()
			text := b.log.String()
			if tt.says == "" && strings.Contains(text, "the model") {
				t.Errorf("log: want nothing about the model:\n%s", text)
			}
		})
	}
}

// What is wrong with the settings is an ErrInvalid, and shows no password.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"no key":         func(c *config.Config) { c.APIKeys = nil },
		"base URL":       func(c *config.Config) { c.BaseURL = "https://me:hunter2@openrouter.ai" },
		"proxy":          func(c *config.Config) { c.HTTPProxy = "ftp://me:hunter2@proxy" },
		"referer":        func(c *config.Config) { c.SiteURL = "a\nb" },
		"negative limit": func(c *config.Config) { c.FirstTokenTimeout = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := settings(t, "http://127.0.0.1:1")
			change(&c)
			if u, err := upstream.New(c, quiet(t)); !errors.Is(err, config.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, %v, want ErrInvalid", u, err)
			}
		})
	}
}

// Every failure that a person can do something about says what.
func TestWayOut(t *testing.T) {
	t.Parallel()
	for _, code := range events.Codes() {
		needsSomebody := slices.Contains([]events.Code{
			events.ModelUnavailable, events.Unauthorized, events.InsufficientCredits, events.RateLimited, events.UpstreamUnavailable, events.UpstreamTimeout,
		}, code)
		if code == events.BudgetExceeded { // keeps no dead letter: its requester was told at once
			continue
		}
		if text := upstream.WayOut(code); (text != "") != needsSomebody || needsSomebody && !strings.Contains(text, "deadletters replay --code "+string(code)) {
			t.Errorf("%s: got %q", code, text)
		}
	}
	if text := upstream.WayOut(events.BudgetExceeded); !strings.Contains(text, "gemini-client usage") {
		t.Errorf("%s: got %q", events.BudgetExceeded, text)
	}
}
