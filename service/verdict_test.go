package service

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
)

func TestJudgeError(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	in := now.Add
	passing := &upstream.Error{Code: events.UpstreamUnavailable, Message: "OpenRouter answered 503: overloaded.", Heals: upstream.Soon}
	long := &upstream.Error{Code: events.RateLimited, Message: "Every key rests.", Heals: upstream.Later}
	lasting := &upstream.Error{Code: events.InvalidRequest, Message: "OpenRouter answered 400: temperature."}
	minute := situation{now: now, called: true, maxRetries: 4, delay: time.Minute}
	with := func(s situation, change func(*situation)) situation {
		change(&s)
		return s
	}
	tests := map[string]struct {
		err  *upstream.Error
		in   situation
		kind Outcome
		code events.Code
		at   time.Time // of later
		says string
	}{
		"first failure":                  {passing, minute, Rescheduled, passing.Code, in(time.Minute), ""},
		"what a long wait heals":         {long, minute, Rescheduled, long.Code, in(time.Minute), ""},
		"what nothing heals":             {lasting, minute, Failed, lasting.Code, time.Time{}, ""},
		"nothing heals, retries left":    {lasting, with(minute, func(s *situation) { s.retryCount = 1 }), Failed, lasting.Code, time.Time{}, ""},
		"one retry left":                 {passing, with(minute, func(s *situation) { s.retryCount = 3 }), Rescheduled, passing.Code, in(time.Minute), ""},
		"no retry left":                  {passing, with(minute, func(s *situation) { s.retryCount = 4 }), Failed, passing.Code, time.Time{}, "after 4 retries"},
		"more retries than allowed":      {long, with(minute, func(s *situation) { s.retryCount = 9 }), Failed, long.Code, time.Time{}, "after 9 retries"},
		"no call was made":               {long, with(minute, func(s *situation) { s.retryCount, s.called = 9, false }), Rescheduled, long.Code, in(time.Minute), ""},
		"no call, and a time is known":   {asks(long, 5*time.Second), with(minute, func(s *situation) { s.retryCount, s.called = 9, false }), Rescheduled, long.Code, in(5 * time.Second), ""},
		"the first timeout":              {passing, with(minute, func(s *situation) { s.timedOut, s.maxTimeouts = true, 2 }), Rescheduled, passing.Code, in(time.Minute), ""},
		"the last timeout":               {passing, with(minute, func(s *situation) { s.timedOut, s.timeouts, s.maxTimeouts = true, 2, 2 }), Failed, events.UpstreamTimeout, time.Time{}, "in any of 3 deliveries"},
		"more timeouts than allowed":     {long, with(minute, func(s *situation) { s.timedOut, s.timeouts, s.maxTimeouts = true, 9, 2 }), Failed, events.UpstreamTimeout, time.Time{}, "in any of 10 deliveries"},
		"other failures after timeouts":  {passing, with(minute, func(s *situation) { s.timeouts, s.maxTimeouts = 9, 2 }), Rescheduled, passing.Code, in(time.Minute), ""},
		"no timeout may be repeated":     {passing, with(minute, func(s *situation) { s.timedOut = true }), Failed, events.UpstreamTimeout, time.Time{}, "in any of 1 deliveries"},
		"no retries at all":              {passing, with(minute, func(s *situation) { s.maxRetries = 0 }), Failed, passing.Code, time.Time{}, "after 0 retries"},
		"Retry-After below the delay":    {asks(passing, 30*time.Second), minute, Rescheduled, passing.Code, in(time.Minute), ""},
		"Retry-After above the delay":    {asks(passing, 2*time.Minute), minute, Rescheduled, passing.Code, in(2 * time.Minute), ""},
		"Retry-After just above":         {asks(passing, time.Minute+1), minute, Rescheduled, passing.Code, in(time.Minute + 1), ""},
		"no delay":                       {asks(long, time.Second), with(minute, func(s *situation) { s.delay = 0 }), Rescheduled, long.Code, in(time.Second), ""},
		"deadline after the next try":    {passing, with(minute, func(s *situation) { s.deadline = in(61 * time.Second) }), Rescheduled, passing.Code, in(time.Minute), ""},
		"deadline before the next try":   {passing, with(minute, func(s *situation) { s.deadline = in(59 * time.Second) }), Failed, events.DeadlineExceeded, time.Time{}, "2026-11-23T12:01:00Z"},
		"deadline at the next try":       {passing, with(minute, func(s *situation) { s.deadline = in(time.Minute) }), Failed, events.DeadlineExceeded, time.Time{}, passing.Message},
		"deadline before a Retry-After":  {asks(passing, 2*time.Minute), with(minute, func(s *situation) { s.deadline = in(90 * time.Second) }), Failed, events.DeadlineExceeded, time.Time{}, "2026-11-23T12:02:00Z"},
		"no retry left and no time left": {passing, with(minute, func(s *situation) { s.retryCount, s.deadline = 4, in(time.Second) }), Failed, passing.Code, time.Time{}, "after 4 retries"},
		"cancelled":                      {&upstream.Error{Code: events.Cancelled, Message: "The request was cancelled."}, minute, Failed, events.Cancelled, time.Time{}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judgeError(tt.err, tt.in)
			if got.outcome != tt.kind || got.failure.Code != tt.code || !got.at.Equal(tt.at) || got.answer != nil {
				t.Errorf("%+v in %+v:\n got %s %s at %v\nwant %s %s at %v", tt.err, tt.in, got.outcome, got.failure.Code, got.at, tt.kind, tt.code, tt.at)
			}
			if text := got.failure.Message; !strings.HasPrefix(text, tt.err.Message) || !strings.Contains(text, tt.says) {
				t.Errorf("Message: got %q, want %q and then %q", text, tt.err.Message, tt.says)
			}
			if again := judgeError(tt.err, tt.in); again != got {
				t.Errorf("not pure: got %+v, then %+v", got, again)
			}
		})
	}
}

// No wait is longer than the records of results and cancellations let it be, but a
// deadline before the time that was asked for fails at once.
func TestLongestWait(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := &upstream.Error{Code: events.RateLimited, Heals: upstream.Later, Wait: 28 * 24 * time.Hour}
	for longest, want := range map[time.Duration]time.Duration{0: e.Wait, time.Hour: time.Hour, 1000 * time.Hour: e.Wait} {
		if got := judgeError(e, situation{now: now, maxRetries: 1, longest: longest}); got.outcome != Rescheduled || !got.at.Equal(now.Add(want)) {
			t.Errorf("longest %s: got %s at %s, want %s from now", longest, got.outcome, got.at, want)
		}
	}
	if got := judgeError(e, situation{now: now, maxRetries: 1, longest: time.Hour, deadline: now.Add(48 * time.Hour)}); got.failure.Code != events.DeadlineExceeded {
		t.Errorf("with a deadline: got %+v", got)
	}
}

// asks is an error with the wait that was asked for.
func asks(e *upstream.Error, wait time.Duration) *upstream.Error {
	return &upstream.Error{Code: e.Code, Message: e.Message, Heals: e.Heals, Wait: wait, GoesBack: e.GoesBack}
}

func TestJudgeAnswer(t *testing.T) {
	t.Parallel()
	calls := json.RawMessage(`[{"id":"1"}]`)
	tests := map[string]struct {
		answer upstream.Answer
		code   events.Code // empty for completed
	}{
		"an answer":                    {upstream.Answer{Content: "hi", FinishReason: "stop"}, ""},
		"cut at max_tokens":            {upstream.Answer{Content: "hi", FinishReason: "length"}, ""},
		"all tokens went into thought": {upstream.Answer{Reasoning: "hm", FinishReason: "length"}, ""},
		"tool calls":                   {upstream.Answer{ToolCalls: calls, FinishReason: "tool_calls"}, ""},
		"no finish_reason":             {upstream.Answer{Content: "hi"}, ""},
		"filtered after some text":     {upstream.Answer{Content: "hi", FinishReason: "content_filter"}, ""},
		"filtered after tool calls":    {upstream.Answer{ToolCalls: calls, FinishReason: "content_filter"}, ""},
		"filtered":                     {upstream.Answer{FinishReason: "content_filter"}, events.ContentFiltered},
		"filtered after thought":       {upstream.Answer{Reasoning: "hm", FinishReason: "content_filter"}, events.ContentFiltered},
		"a refusal and nothing else":   {upstream.Answer{Refusal: "no", FinishReason: "stop"}, events.ContentFiltered},
		"a refusal in the content too": {upstream.Answer{Content: "no", Refusal: "no", FinishReason: "stop"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judgeAnswer(&tt.answer)
			kind := Completed
			if tt.code != "" {
				kind = Failed
			}
			if got.outcome != kind || got.failure.Code != tt.code || got.answer != &tt.answer {
				t.Errorf("%+v:\n got %s %q, answer %p\nwant %s %q, answer %p", tt.answer, got.outcome, got.failure.Code, got.answer, kind, tt.code, &tt.answer)
			}
		})
	}
}
