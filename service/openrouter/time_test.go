package openrouter_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter"
)

// The tests of this file run in bubbles, where time passes only when everybody waits.

func TestTimeLimits(t *testing.T) {
	t.Parallel()
	const comment = ": OPENROUTER PROCESSING\n\n"
	content := data(delta(`"content":"a"`, ""))
	finish := data(delta("", "stop"))
	repeat := func(n int, s ...step) (all []step) {
		for range n {
			all = append(all, s...)
		}
		return all
	}
	hang := step{hang: true}
	tests := map[string]struct {
		steps []step
		kind  openrouter.Kind // empty for an answer
		after time.Duration
	}{
		"no byte at all":                {[]step{hang}, openrouter.KindFirstToken, 60 * time.Second},
		"comments are no tokens":        {repeat(100, step{wait: time.Second, data: comment}), openrouter.KindFirstToken, 60 * time.Second},
		"white space is no token":       {repeat(100, step{wait: time.Second, data: "\n     \n"}), openrouter.KindFirstToken, 60 * time.Second},
		"empty deltas are no tokens":    {repeat(100, step{wait: time.Second, data: data(delta(`"role":"assistant","content":""`, ""))}), openrouter.KindFirstToken, 60 * time.Second},
		"usage is no token":             {repeat(100, step{wait: time.Second, data: data(`{"choices":[],"usage":{"prompt_tokens":1}}`)}), openrouter.KindFirstToken, 60 * time.Second},
		"half an event is no token":     {[]step{{data: content[:20]}, hang}, openrouter.KindFirstToken, 60 * time.Second},
		"comments after a token":        {append([]step{{wait: 50 * time.Second, data: content}}, repeat(100, step{wait: time.Second, data: comment})...), openrouter.KindGap, 80 * time.Second},
		"empty deltas after a token":    {append([]step{{data: content}}, repeat(100, step{wait: time.Second, data: data(delta(`"content":""`, ""))})...), openrouter.KindGap, 30 * time.Second},
		"silence after a token":         {[]step{{data: content}, {wait: 29 * time.Second, data: content}, hang}, openrouter.KindGap, 59 * time.Second},
		"slow drip goes on":             {append(repeat(50, step{wait: 29 * time.Second, data: content}), step{data: finish}), "", 50 * 29 * time.Second},
		"reasoning counts":              {append(repeat(4, step{wait: 29 * time.Second, data: data(delta(`"reasoning":"r"`, ""))}), step{data: finish}), "", 4 * 29 * time.Second},
		"encrypted reasoning counts":    {append(repeat(4, step{wait: 29 * time.Second, data: data(delta(`"reasoning_details":[{"data":"x"}]`, ""))}), step{data: content + finish}), "", 4 * 29 * time.Second},
		"tool calls count":              {append(repeat(4, step{wait: 29 * time.Second, data: data(delta(`"tool_calls":[{"index":0,"function":{"arguments":" "}}]`, ""))}), step{data: finish}), "", 4 * 29 * time.Second},
		"usage that does not come":      {[]step{{data: content + finish}, hang}, "", 10 * time.Second},
		"comments in place of usage":    {append([]step{{data: content + finish}}, repeat(100, step{wait: time.Second, data: comment})...), "", 10 * time.Second},
		"repeated finish without usage": {append([]step{{data: content + finish}}, repeat(100, step{wait: time.Second, data: finish})...), "", 10 * time.Second},
		"body left open after [DONE]":   {[]step{{data: content + finish + data("[DONE]")}, hang}, "", 100 * time.Millisecond},
		"much after [DONE]":             {[]step{{data: content + finish + data("[DONE]") + strings.Repeat(comment, 1_000)}, hang}, "", 0},
		"document left open":            {[]step{{wait: time.Second, data: testdata(t, "document_padded.json")}, hang}, "", 1100 * time.Millisecond},
		"document that does not come":   {[]step{{data: "\n   {"}, hang}, openrouter.KindFirstToken, 60 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				got := ask(t, newClient(t, openrouter.Config{Transport: reply{steps: tt.steps}.transport(t)}))
				var kind openrouter.Kind
				if got.err != nil {
					kind = got.err.Kind
					if !got.err.Retryable || got.err.Started != (kind == openrouter.KindGap) || errors.Is(got.err, context.DeadlineExceeded) || errors.Is(got.err, context.Canceled) {
						t.Errorf("unfit error: %+v", got.err)
					}
				}
				if after := time.Since(start); kind != tt.kind || after != tt.after {
					t.Errorf("got kind %q after %v, want %q after %v", kind, after, tt.kind, tt.after)
				}
			})
		})
	}
}

func TestOwnTimeLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		config := openrouter.Config{FirstToken: 2 * time.Second, Gap: 3 * time.Second}
		config.Transport = reply{steps: []step{{hang: true}}}.transport(t)
		start := time.Now()
		if got := ask(t, newClient(t, config)); got.err.Kind != openrouter.KindFirstToken || time.Since(start) != 2*time.Second {
			t.Errorf("got %v after %v", got.err, time.Since(start))
		}
		config.Transport = reply{steps: []step{{data: data(delta(`"content":"a"`, "stop"))}, {hang: true}}}.transport(t)
		start = time.Now()
		if got := ask(t, newClient(t, config)); got.err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("waiting for usage: got %v after %v, want an answer after the gap", got.err, time.Since(start))
		}
	})
}

// TestTimeInOnDelta gives a slow reader all the time it needs.
func TestTimeInOnDelta(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, end, _ := strings.Cut(testdata(t, "text.sse"), ", wör")
		steps := []step{{data: start}, {wait: time.Second, data: ", wör"}, {wait: time.Second, data: end}}
		client := newClient(t, openrouter.Config{Transport: reply{steps: steps}.transport(t)})
		got, err := client.Complete(t.Context(), testKey, new(hello()), func(string) { <-time.After(time.Hour) })
		if err != nil || got.Content != "Hello, wörld!" || got.Usage == nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestNoResponseInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, openrouter.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})})
		if got := ask(t, client); got.err.Kind != openrouter.KindFirstToken || got.err.Started {
			t.Errorf("got %+v", got.err)
		}
	})
}

// TestErrorBodyThatDoesNotEnd keeps the status, which says more than the time limit.
func TestErrorBodyThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		canned := reply{status: 429, header: map[string]string{"Retry-After": "9"}, steps: []step{{data: "<html>"}, {hang: true}}}
		got := ask(t, newClient(t, openrouter.Config{Transport: canned.transport(t)}))
		if got.err.Status != 429 || got.err.RetryAfter != 9*time.Second || !got.err.Retryable || time.Since(start) != 5*time.Second {
			t.Errorf("got %+v after %v", got.err, time.Since(start))
		}
	})
}

func TestLongErrorBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		canned := reply{status: 500, steps: []step{{data: strings.Repeat("e", 64<<10)}, {hang: true}}}
		if got := ask(t, newClient(t, openrouter.Config{Transport: canned.transport(t)})); got.err.Status != 500 || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want it at once", got.err, time.Since(start))
		}
	})
}

func TestLookupTime(t *testing.T) {
	t.Parallel()
	tests := map[int]struct { // by status
		kind  openrouter.Kind
		after time.Duration
	}{
		200: {openrouter.KindFirstToken, 60 * time.Second},
		503: {openrouter.KindStatus, 5 * time.Second},
	}
	for status, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			canned := reply{status: status, steps: []step{{data: "{"}, {hang: true}}}
			_, err := newClient(t, openrouter.Config{Transport: canned.transport(t)}).Model(t.Context(), testKey, "a/b")
			if e := asError(t, err); e.Kind != tt.kind || time.Since(start) != tt.after {
				t.Errorf("status %d: got %+v after %v, want %s after %v", status, e, time.Since(start), tt.kind, tt.after)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	mine := errors.New("somebody asked for it")
	cancelled := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Second, func() { cancel(mine) })
		return ctx
	}
	timedOut := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithTimeoutCause(ctx, time.Second, mine)
		context.AfterFunc(ctx, cancel)
		return ctx
	}
	begun := []step{{data: data(delta(`"content":"a"`, ""))}, {hang: true}}
	tests := map[string]struct {
		end     func(context.Context) context.Context
		steps   []step
		kind    openrouter.Kind
		is, not error
	}{
		"cancelled before a token": {cancelled, []step{{hang: true}}, openrouter.KindCancelled, context.Canceled, context.DeadlineExceeded},
		"cancelled after a token":  {cancelled, begun, openrouter.KindCancelled, context.Canceled, context.DeadlineExceeded},
		"deadline before a token":  {timedOut, []step{{hang: true}}, openrouter.KindCallTimeout, context.DeadlineExceeded, context.Canceled},
		"deadline after a token":   {timedOut, begun, openrouter.KindCallTimeout, context.DeadlineExceeded, context.Canceled},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				e := askWith(tt.end(t.Context()), t, newClient(t, openrouter.Config{Transport: reply{steps: tt.steps}.transport(t)})).err
				if e == nil || e.Kind != tt.kind || e.Retryable || e.Started != (len(tt.steps) > 1) || time.Since(start) != time.Second {
					t.Fatalf("got %+v after %v, want kind %q", e, time.Since(start), tt.kind)
				}
				if !errors.Is(e, tt.is) || errors.Is(e, tt.not) || !errors.Is(e, mine) {
					t.Errorf("errors.Is: %v %v, %v %v, cause %v", tt.is, errors.Is(e, tt.is), tt.not, errors.Is(e, tt.not), errors.Is(e, mine))
				}
			})
		})
	}
}

// TestCancelledAfterTheFinish has paid for an answer that is whole.
func TestCancelledAfterTheFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		steps := []step{{data: data(delta(`"content":"a"`, "stop"))}, {hang: true}}
		if got := askWith(ctx, t, newClient(t, openrouter.Config{Transport: reply{steps: steps}.transport(t)})); got.err != nil || got.Content != "a" {
			t.Errorf("got %+v, %v", got.Completion, got.err)
		}
	})
}

func TestContextEndedBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server := newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the request was sent") })
	if got := askWith(ctx, t, newClient(t, openrouter.Config{BaseURL: at(server.URL)})); got.err.Kind != openrouter.KindCancelled {
		t.Errorf("got %v", got.err)
	}
}

// TestDialTimeoutIsNoCallTimeout: the net package calls it context.DeadlineExceeded.
func TestDialTimeoutIsNoCallTimeout(t *testing.T) {
	t.Parallel()
	slow := &net.OpError{Op: "dial", Net: "tcp", Err: timeoutError{}}
	client := newClient(t, openrouter.Config{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, slow })})
	e := ask(t, client).err
	if e.Kind != openrouter.KindConnection || errors.Is(e, context.DeadlineExceeded) || !e.Retryable || !strings.Contains(e.Message, "dial tcp") {
		t.Errorf("got %+v", e)
	}
	if got, ok := errors.AsType[*net.OpError](e); !ok || got != slow {
		t.Errorf("errors.As does not find the cause: %v", got)
	}
}

// TestDialTimeoutAtTheDeadline: a dialler with the call's deadline may fail before the context does.
func TestDialTimeoutAtTheDeadline(t *testing.T) {
	t.Parallel()
	client := newClient(t, openrouter.Config{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, timeoutError{} })})
	past := lateContext{t.Context(), time.Now().Add(-time.Millisecond)}
	if e := askWith(past, t, client).err; e.Kind != openrouter.KindCallTimeout || !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("after the deadline: got %+v", e)
	}
	early := lateContext{t.Context(), time.Now().Add(time.Hour)}
	if e := askWith(early, t, client).err; e.Kind != openrouter.KindConnection {
		t.Errorf("before the deadline: got %+v", e)
	}
}

// A lateContext has a deadline that it has not noticed yet.
type lateContext struct {
	context.Context //nolint:containedctx // it is a context
	deadline        time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// TestContextIsReleased checks the request's context after the call.
func TestContextIsReleased(t *testing.T) {
	t.Parallel()
	var used []context.Context
	inner := text(testdata(t, "text.sse")).transport(t)
	client := newClient(t, openrouter.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		used = append(used, r.Context())
		return inner(r)
	})})
	ask(t, client)
	_, _ = client.Model(t.Context(), testKey, "a/b")
	for i, ctx := range used {
		if ctx.Err() == nil {
			t.Errorf("the context of call %d is not released", i)
		}
	}
}

type timeoutError struct{}

func (timeoutError) Error() string        { return "i/o timeout" }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
