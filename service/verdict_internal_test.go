package service

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

func TestJudgeFault(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	in := now.Add
	passing := fault{code: events.UpstreamUnavailable, text: "OpenRouter answered 503: overloaded.", heals: healsNow, outage: true}
	long := fault{code: events.RateLimited, text: "Every key rests.", heals: healsLater}
	lasting := fault{code: events.InvalidRequest, text: "OpenRouter answered 400: temperature."}
	minute := situation{now: now, called: true, maxRetries: 4, delay: time.Minute}
	with := func(s situation, change func(*situation)) situation {
		change(&s)
		return s
	}
	tests := map[string]struct {
		fault fault
		in    situation
		kind  telemetry.Verdict
		code  events.Code
		at    time.Time // of later
		says  string
	}{
		"first failure":                  {passing, minute, telemetry.VerdictLater, passing.code, in(time.Minute), ""},
		"what a long wait heals":         {long, minute, telemetry.VerdictLater, long.code, in(time.Minute), ""},
		"what nothing heals":             {lasting, minute, telemetry.VerdictFailed, lasting.code, time.Time{}, ""},
		"nothing heals, retries left":    {lasting, with(minute, func(s *situation) { s.retryCount = 1 }), telemetry.VerdictFailed, lasting.code, time.Time{}, ""},
		"one retry left":                 {passing, with(minute, func(s *situation) { s.retryCount = 3 }), telemetry.VerdictLater, passing.code, in(time.Minute), ""},
		"no retry left":                  {passing, with(minute, func(s *situation) { s.retryCount = 4 }), telemetry.VerdictFailed, passing.code, time.Time{}, "after 4 retries"},
		"more retries than allowed":      {long, with(minute, func(s *situation) { s.retryCount = 9 }), telemetry.VerdictFailed, long.code, time.Time{}, "after 9 retries"},
		"no call was made":               {long, with(minute, func(s *situation) { s.retryCount, s.called = 9, false }), telemetry.VerdictLater, long.code, in(time.Minute), ""},
		"no retries at all":              {passing, with(minute, func(s *situation) { s.maxRetries = 0 }), telemetry.VerdictFailed, passing.code, time.Time{}, "after 0 retries"},
		"Retry-After below the delay":    {asks(passing, 30*time.Second), minute, telemetry.VerdictLater, passing.code, in(time.Minute), ""},
		"Retry-After above the delay":    {asks(passing, 2*time.Minute), minute, telemetry.VerdictLater, passing.code, in(2 * time.Minute), ""},
		"Retry-After just above":         {asks(passing, time.Minute+1), minute, telemetry.VerdictLater, passing.code, in(time.Minute + 1), ""},
		"no delay":                       {asks(long, time.Second), with(minute, func(s *situation) { s.delay = 0 }), telemetry.VerdictLater, long.code, in(time.Second), ""},
		"deadline after the next try":    {passing, with(minute, func(s *situation) { s.deadline = in(61 * time.Second) }), telemetry.VerdictLater, passing.code, in(time.Minute), ""},
		"deadline before the next try":   {passing, with(minute, func(s *situation) { s.deadline = in(59 * time.Second) }), telemetry.VerdictFailed, events.DeadlineExceeded, time.Time{}, "2026-11-23T12:01:00Z"},
		"deadline at the next try":       {passing, with(minute, func(s *situation) { s.deadline = in(time.Minute) }), telemetry.VerdictFailed, events.DeadlineExceeded, time.Time{}, passing.text},
		"deadline before a Retry-After":  {asks(passing, 2*time.Minute), with(minute, func(s *situation) { s.deadline = in(90 * time.Second) }), telemetry.VerdictFailed, events.DeadlineExceeded, time.Time{}, "2026-11-23T12:02:00Z"},
		"no retry left and no time left": {passing, with(minute, func(s *situation) { s.retryCount, s.deadline = 4, in(time.Second) }), telemetry.VerdictFailed, passing.code, time.Time{}, "after 4 retries"},
		"cancelled":                      {diagnose(errCancelled), minute, telemetry.VerdictFailed, events.Cancelled, time.Time{}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judgeFault(tt.fault, tt.in)
			if got.kind != tt.kind || got.failure.Code != tt.code || !got.at.Equal(tt.at) || got.answer != nil {
				t.Errorf("%+v in %+v:\n got %s %s at %v\nwant %s %s at %v", tt.fault, tt.in, got.kind, got.failure.Code, got.at, tt.kind, tt.code, tt.at)
			}
			if text := got.failure.Message; !strings.HasPrefix(text, tt.fault.text) || !strings.Contains(text, tt.says) {
				t.Errorf("text: got %q, want %q and then %q", text, tt.fault.text, tt.says)
			}
			if again := judgeFault(tt.fault, tt.in); again != got {
				t.Errorf("not pure: got %+v, then %+v", got, again)
			}
		})
	}
}

// A wait that somebody asked for is kept to the full: jitter only adds to it,
// and no more than a tenth.
func TestNoWaitIsShortened(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, 1, 9, 10, time.Second, 20 * time.Second, 24 * time.Hour} {
		for range 1000 {
			if got := withJitter(wait); got < wait || got > wait+wait/10 {
				t.Fatalf("withJitter(%v): got %v, want it and up to a tenth more", wait, got)
			}
			if got := backoff(fault{wait: wait}, 1); wait > 0 && (got < wait || got > wait+wait/10) {
				t.Fatalf("backoff after a Retry-After of %v: got %v", wait, got)
			}
		}
	}
	for attempt, want := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second} {
		for range 1000 {
			if got := backoff(fault{}, attempt); got < want/2 || got > want*3/2 {
				t.Fatalf("backoff after attempt %d: got %v, want half to one and a half of %v", attempt, got, want)
			}
		}
	}
	if got := backoff(fault{key: keyRests, wait: time.Minute}, 1); got != 0 {
		t.Errorf("backoff after a fault of the key: got %v, want 0: the pool does the waiting", got)
	}
}

func TestJudgeAnswer(t *testing.T) {
	t.Parallel()
	calls := json.RawMessage(`[{"id":"1"}]`)
	tests := map[string]struct {
		answer openrouter.Completion
		code   events.Code // empty for completed
	}{
		"an answer":                    {openrouter.Completion{Content: "hi", FinishReason: "stop"}, ""},
		"cut at max_tokens":            {openrouter.Completion{Content: "hi", FinishReason: "length"}, ""},
		"all tokens went into thought": {openrouter.Completion{Reasoning: "hm", FinishReason: "length"}, ""},
		"tool calls":                   {openrouter.Completion{ToolCalls: calls, FinishReason: "tool_calls"}, ""},
		"no finish_reason":             {openrouter.Completion{Content: "hi"}, ""},
		"filtered after some text":     {openrouter.Completion{Content: "hi", FinishReason: "content_filter"}, ""},
		"filtered after tool calls":    {openrouter.Completion{ToolCalls: calls, FinishReason: "content_filter"}, ""},
		"filtered":                     {openrouter.Completion{FinishReason: "content_filter"}, events.ContentFiltered},
		"filtered after thought":       {openrouter.Completion{Reasoning: "hm", FinishReason: "content_filter"}, events.ContentFiltered},
		"a refusal and nothing else":   {openrouter.Completion{Refusal: "no", FinishReason: "stop"}, events.ContentFiltered},
		"a refusal in the content too": {openrouter.Completion{Content: "no", Refusal: "no", FinishReason: "stop"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judgeAnswer(&tt.answer)
			kind := telemetry.VerdictCompleted
			if tt.code != "" {
				kind = telemetry.VerdictFailed
			}
			if got.kind != kind || got.failure.Code != tt.code || got.answer != &tt.answer {
				t.Errorf("%+v:\n got %s %q, answer %p\nwant %s %q, answer %p", tt.answer, got.kind, got.failure.Code, got.answer, kind, tt.code, &tt.answer)
			}
		})
	}
}
