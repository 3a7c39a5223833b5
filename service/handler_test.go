package service

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// only returns the one end that a delivery had.
func (l line) only(t *testing.T) bus.End {
	t.Helper()
	ends := l.bus.settled()
	if len(ends) != 1 {
		t.Fatalf("settled %d times, want once: %+v", len(ends), ends)
	}
	return ends[0]
}

func TestAnswerIsStored(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{}, func(context.Context, events.Request) upstream.Reply {
		return upstream.Reply{
			Answer: &upstream.Answer{Content: "hello", Model: "google/m", Reasoning: "hm", FinishReason: "stop"}, Attempts: 2,
			Usage: upstream.Usage{Bill: events.Bill{Usage: &events.Usage{PromptTokens: 3, CompletionTokens: 4}, Cost: new(0.5)}, GenerationID: "gen-1", Provider: "P", FinishReason: "stop"},
		}
	})
	l.deliver(t.Context(), delivery(`,"retry_count":1`))
	end := l.only(t)
	r := end.Result
	if r == nil || end.DeadLetter != nil || end.Schedule != nil || end.Nack || r.Status != events.StatusSuccess || *r.Content != "hello" || *r.Reasoning != "hm" || *r.ModelUsed != "google/m" ||
		r.Attempts != 2 || r.RetryCount != 1 || *r.Cost != 0.5 || *r.GenerationID != "gen-1" || r.Usage.CompletionTokens != 4 || string(r.Metadata) != `{"a":1}` || *r.ProcessingTimeMS < 0 {
		t.Errorf("got %+v with %+v", end, r)
	}
	if ask := l.bus.asks[0]; ask.ID != anID || ask.Callback != "gemini.responses" || ask.InFlight != nil || !ask.Deadline.IsZero() {
		t.Errorf("asked: got %+v", ask)
	}
	lines := l.logged(t, "request completed")
	if len(lines) != 1 || lines[0]["request_id"] != anID || lines[0]["tokens_out"] != 4.0 || lines[0]["cost"] != 0.5 || lines[0]["retry_count"] != 1.0 || lines[0]["level"] != "INFO" {
		t.Errorf("log: got %v", lines)
	}
}

// What each admission leads to.
func TestAdmissions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		admission bus.Admission
		outcome   Outcome
		end       bus.End // but for the result
		code      events.Code
		called    bool
	}{
		"admitted":    {bus.Admission{State: bus.Admitted, Starts: 1}, Completed, bus.End{}, "", true},
		"cancelled":   {bus.Admission{State: bus.Cancelled, Starts: 1}, Failed, bus.End{}, events.Cancelled, false},
		"expired":     {bus.Admission{State: bus.Expired, Starts: 1}, Failed, bus.End{}, events.DeadlineExceeded, false},
		"duplicate":   {bus.Admission{State: bus.Duplicate}, Duplicate, bus.End{}, "", false},
		"answered":    {bus.Admission{State: bus.Answered}, Duplicate, bus.End{}, "", false},
		"rescheduled": {bus.Admission{State: bus.Rescheduled}, Duplicate, bus.End{}, "", false},
		"busy":        {bus.Admission{State: bus.Busy}, Nacked, bus.End{Nack: true, After: busyDelay}, "", false},
		"interrupted": {bus.Admission{State: bus.Interrupted}, Nacked, bus.End{Nack: true}, "", false},
		"unclear":     {bus.Admission{State: bus.Unclear}, Nacked, bus.End{Nack: true, After: unclearDelay}, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			called := false
			l := newLine(t, &fakeBus{admit: func(bus.Ask) bus.Admission { return tt.admission }}, func(context.Context, events.Request) upstream.Reply {
				called = true
				return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}}
			})
			l.deliver(t.Context(), delivery(""))
			end := l.only(t)
			if called != tt.called || end.Nack != tt.end.Nack || end.After != tt.end.After || (end.Result != nil) != (tt.outcome == Completed || tt.outcome == Failed) || end.Schedule != nil || end.DeadLetter != nil {
				t.Errorf("called %v, end %+v", called, end)
			}
			if tt.code != "" && *end.Result.ErrorCode != tt.code {
				t.Errorf("code: got %s, want %s", *end.Result.ErrorCode, tt.code)
			}
			if lines := l.logged(t, "request "+tt.outcome.String()); len(lines) != 1 {
				t.Errorf("the log has no line for %s:\n%s", tt.outcome, l.log)
			}
		})
	}
}

// Failures are stored; an original that can be replayed is kept.
func TestFailures(t *testing.T) {
	t.Parallel()
	for code, deadLetter := range map[events.Code]bool{events.InvalidRequest: false, events.ModelUnavailable: true, events.ContentFiltered: false} {
		l := newLine(t, &fakeBus{}, fails(upstream.Error{Code: code, Message: "no"}))
		l.deliver(t.Context(), delivery(""))
		end := l.only(t)
		if r := end.Result; r == nil || *r.ErrorCode != code || *r.Error != "no" || (end.DeadLetter != nil) != deadLetter || deadLetter && end.DeadLetter.Code != code {
			t.Errorf("%s: got %+v", code, end)
		}
		lines := l.logged(t, "request failed")
		if len(lines) != 1 || (lines[0]["level"] == "WARN") != deadLetter || code == events.ModelUnavailable && lines[0]["way_out"] == nil {
			t.Errorf("%s: log %v", code, lines)
		}
	}
}

// What fails for now is rescheduled, with one more retry on its header.
func TestRescheduling(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{}, fails(upstream.Error{Code: events.UpstreamTimeout, Message: "no", Heals: upstream.Soon}))
	before := time.Now()
	l.deliver(t.Context(), delivery(""))
	end := l.only(t)
	s := end.Schedule
	if s == nil || end.Result != nil || end.DeadLetter != nil || s.At.Sub(before) < time.Minute || s.At.Sub(before) > 67*time.Second || s.Header[events.HeaderRetryCount] != "1" || s.Header[events.HeaderStrikes] != "0" {
		t.Errorf("got %+v", s)
	}
	if lines := l.logged(t, "request rescheduled"); len(lines) != 1 || lines[0]["next_try"] == nil || lines[0]["code"] != "upstream_timeout" {
		t.Errorf("log: got %v", lines)
	}
}

// A request that broke rules is asked for, so that it is answered once, and then
// fails without a call; one without a usable id is kept and never asked for.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	never := fakeUpstream(func(context.Context, events.Request) upstream.Reply {
		t.Error("OpenRouter was called")
		return upstream.Reply{}
	})
	for _, state := range []bus.State{bus.Admitted, bus.Cancelled} {
		l := newLine(t, &fakeBus{admit: func(bus.Ask) bus.Admission { return bus.Admission{State: state, Starts: 1} }}, never)
		l.deliver(t.Context(), delivery(`,"parameters":{"temperature":7}`))
		if r := l.only(t).Result; r == nil || *r.ErrorCode != events.InvalidRequest || !strings.Contains(*r.Error, "temperature") {
			t.Errorf("a broken rule: got %+v", r)
		}
	}
	l := newLine(t, &fakeBus{}, never)
	d := delivery("")
	d.Body = []byte("not JSON")
	l.deliver(t.Context(), d)
	if end := l.only(t); end.Result != nil || end.DeadLetter == nil || end.DeadLetter.Code != events.InvalidRequest || len(l.bus.asks) != 0 {
		t.Errorf("no id: got %+v after %d questions", end, len(l.bus.asks))
	}
	if lines := l.logged(t, "request failed"); len(lines) != 1 || lines[0]["level"] != "WARN" || lines[0]["note"] != "kept as a dead letter" {
		t.Errorf("log: got %v", lines)
	}
	stopped := errors.New("stopped")
	l = newLine(t, &fakeBus{settle: func(end bus.End) (bus.Settled, error) {
		if end.Nack {
			return bus.Settled{}, nil
		}
		return bus.Settled{}, stopped
	}}, never)
	l.deliver(t.Context(), d)
	if ends := l.bus.settled(); len(ends) != 2 || !ends[1].Nack {
		t.Errorf("not kept: got %+v, want it given back", ends)
	}
}

// A result that is too large becomes smaller step by step; what cannot be
// rescheduled fails.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	answer := fakeUpstream(func(context.Context, events.Request) upstream.Reply {
		return upstream.Reply{Answer: &upstream.Answer{Content: "hello", Reasoning: "hm"}, Attempts: 1, Usage: upstream.Usage{Bill: events.Bill{Cost: new(0.5)}}}
	})
	tests := map[string]struct {
		up      fakeUpstream
		refused int // so many ends are too large
		last    func(bus.End) bool
		outcome Outcome
	}{
		"its reasoning":           {answer, 1, func(e bus.End) bool { return e.Result.Reasoning == nil && *e.Result.Content == "hello" }, Completed},
		"its content":             {answer, 2, func(e bus.End) bool { return tooLarge(e) && *e.Result.Cost == 0.5 && e.Result.Metadata != nil }, Failed},
		"its metadata":            {answer, 3, func(e bus.End) bool { return tooLarge(e) && e.Result.Metadata == nil }, Failed},
		"whatever it is":          {answer, 4, func(e bus.End) bool { return e.Result == nil && e.DeadLetter.Code == events.Internal }, Failed},
		"its dead letter too":     {answer, 5, func(e bus.End) bool { return e.Nack && e.After >= keepAgain }, Nacked},
		"a failure's metadata":    {fails(upstream.Error{Code: events.Internal, Message: "no"}), 1, func(e bus.End) bool { return tooLarge(e) && e.DeadLetter == nil }, Failed},
		"a request with a header": {fails(upstream.Error{Code: events.RateLimited, Message: "no.", Heals: upstream.Later}), 1, func(e bus.End) bool { return *e.Result.ErrorCode == events.RateLimited && e.DeadLetter != nil }, Failed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := tt.refused
			l := newLine(t, &fakeBus{settle: func(e bus.End) (bus.Settled, error) {
				if left--; left >= 0 && !e.Nack {
					return bus.Settled{}, bus.ErrTooLarge
				}
				return bus.Settled{Stored: true}, nil
			}}, tt.up)
			l.deliver(t.Context(), delivery(""))
			ends := l.bus.settled()
			if len(ends) != tt.refused+1 || !tt.last(ends[len(ends)-1]) {
				t.Errorf("settled %d times, the last with %+v", len(ends), ends[len(ends)-1])
			}
			if len(l.logged(t, "request "+tt.outcome.String())) != 1 {
				t.Errorf("the log has no line for %s:\n%s", tt.outcome, l.log)
			}
		})
	}
}

func tooLarge(e bus.End) bool {
	return e.Result != nil && e.Result.ErrorCode != nil && *e.Result.ErrorCode == events.PayloadTooLarge
}

// Tool calls without text are an answer whose content is null.
func TestToolCalls(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{}, func(context.Context, events.Request) upstream.Reply {
		return upstream.Reply{Answer: &upstream.Answer{ToolCalls: json.RawMessage(`[{"id":"1"}]`)}}
	})
	l.deliver(t.Context(), delivery(""))
	if r := l.only(t).Result; r.Content != nil || string(r.ToolCalls) != `[{"id":"1"}]` || r.ModelUsed != nil {
		t.Errorf("got %+v", r)
	}
}

// A result that another one preceded is a duplicate.
func TestRefusedResult(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{settle: func(bus.End) (bus.Settled, error) { return bus.Settled{}, nil }}, nil)
	l.deliver(t.Context(), delivery(""))
	if lines := l.logged(t, "request duplicate"); len(lines) != 1 || lines[0]["note"] != "another result was stored first" {
		t.Errorf("log: got %v", lines)
	}
}

// A panic upstream is this request's failure; one elsewhere goes on, and people
// see it in the trace.
func TestPanics(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{}, func(context.Context, events.Request) upstream.Reply { panic("boom") })
	l.deliver(t.Context(), delivery(""))
	if end := l.only(t); end.Result == nil || *end.Result.ErrorCode != events.Internal || end.DeadLetter == nil {
		t.Errorf("upstream: got %+v", end)
	}
	if lines := l.logged(t, "a request made the service panic"); len(lines) != 1 || !strings.Contains(lines[0]["stack"].(string), "handler_test.go") {
		t.Errorf("log: got %v", lines)
	}
	l = newLine(t, &fakeBus{settle: func(bus.End) (bus.Settled, error) { panic("boom") }}, nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		l.deliver(t.Context(), delivery(""))
	}()
	spans := l.spans.GetSpans()
	if i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "process gemini.requests" }); i < 0 || spans[i].Status.Description == "" {
		t.Errorf("spans: got %+v", spans)
	}
}
