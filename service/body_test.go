package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

const bodyName = anID + "/body"

// byReference is a request whose prompt is an object.
func byReference(more string) *bus.Delivery {
	d := delivery("")
	d.Body = fmt.Appendf(nil, `{"request_id":%q,"body_ref":{"bucket":"GEMINI_BODIES","name":%q,"size":16,"digest":%q}%s}`,
		anID, bodyName, events.BodyDigest([]byte(`{"prompt":"Why"}`)), more)
	return d
}

func holds(object string) func(context.Context, events.BodyRef) ([]byte, error) {
	return func(context.Context, events.BodyRef) ([]byte, error) { return []byte(object), nil }
}

func cannot(err error) func(context.Context, events.BodyRef) ([]byte, error) {
	return func(context.Context, events.BodyRef) ([]byte, error) { return nil, err }
}

// Each end of a request by reference: whether it is called for, and whether its object
// goes with it. It stays as long as somebody may need it, and if it was not read: it may be
// another's.
func TestByReference(t *testing.T) {
	t.Parallel()
	away := upstream.Error{Code: events.UpstreamUnavailable, Message: "away", Heals: upstream.Later}
	for name, tt := range map[string]struct {
		more    string
		body    func(context.Context, events.BodyRef) ([]byte, error)
		err     *upstream.Error
		state   bus.State
		code    events.Code // "" for completed
		says    string
		outcome Outcome
		called  bool
		dropped bool
	}{
		"answered":           {body: holds(`{"prompt":"Why"}`), outcome: Completed, called: true, dropped: true},
		"messages":           {body: holds(`{"messages":[{"role":"user","content":"Why"}]}`), outcome: Completed, called: true, dropped: true},
		"tried later":        {body: holds(`{"prompt":"Why"}`), err: &away, code: events.UpstreamUnavailable, outcome: Rescheduled, called: true},
		"a dead letter":      {more: `,"retry_count":99`, body: holds(`{"prompt":"Why"}`), err: &away, code: events.UpstreamUnavailable, says: "away", outcome: Failed, called: true},
		"no prompt in it":    {body: holds(`{"Prompt":"Why"}`), code: events.InvalidRequest, says: "the object of body_ref: prompt: is missing", outcome: Failed, dropped: true},
		"no JSON":            {body: holds(`Why`), code: events.InvalidRequest, says: "the object of body_ref: the body is not JSON", outcome: Failed, dropped: true},
		"missing":            {body: cannot(fmt.Errorf("%w: it is not there", bus.ErrNoBody)), code: events.InvalidRequest, says: "it is not there. Put the object again", outcome: Failed},
		"another's":          {body: cannot(fmt.Errorf("%w: its digest is another", bus.ErrNoBody)), code: events.InvalidRequest, says: "its digest is another", outcome: Failed},
		"not to be read":     {body: cannot(bus.ErrRefused), code: events.Internal, says: "could not fetch", outcome: Failed},
		"expired meanwhile":  {body: cannot(errDeadline), code: events.DeadlineExceeded, says: "before its prompt was fetched", outcome: Failed},
		"cancelled":          {state: bus.Cancelled, code: events.Cancelled, says: "cancelled", outcome: Failed},
		"expired":            {state: bus.Expired, code: events.DeadlineExceeded, says: "deadline", outcome: Failed},
		"answered before":    {state: bus.Answered, outcome: Duplicate},
		"a duplicate":        {state: bus.Duplicate, outcome: Duplicate},
		"invalid":            {more: `,"stream":1`, code: events.InvalidRequest, says: "stream", outcome: Failed},
		"a batch's":          {more: `,"tier":"batch"`, body: holds(`{"prompt":"Why"}`), outcome: Completed, called: true, dropped: true},
		"a batch's or none":  {more: `,"tier":"batch","tier_fallback":false`, code: events.InvalidRequest, says: "Batch API", outcome: Failed},
		"an answer that ran": {body: holds(`{"prompt":"Why"}`), err: &upstream.Error{Code: events.ContentFiltered, Message: "no", Heals: upstream.Never}, code: events.ContentFiltered, says: "no", outcome: Failed, called: true, dropped: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &fakeBus{body: tt.body, admit: func(bus.Ask) bus.Admission { return bus.Admission{State: tt.state, Starts: 1} }}
			asked := 0
			l := newLine(t, b, func(_ context.Context, r events.Request) upstream.Reply {
				if asked++; r.Prompt != "Why" && !strings.Contains(string(r.Messages), "Why") {
					t.Errorf("called with %+v", r)
				}
				return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}, Err: tt.err, Attempts: 1}
			})
			if tt.err != nil {
				l.upstream = fakeUpstream(func(context.Context, events.Request) upstream.Reply {
					asked++
					return upstream.Reply{Err: tt.err, Attempts: 1}
				})
			}
			r := l.handle(t.Context(), byReference(tt.more))
			if r.outcome != tt.outcome || r.code != tt.code || !strings.Contains(r.text, tt.says) || (asked > 0) != tt.called {
				t.Errorf("got %v, %s: %s; called %d times", r.outcome, r.code, r.text, asked)
			}
			if dropped := slices.Equal(b.dropped, []string{bodyName}); dropped != tt.dropped || !dropped && b.dropped != nil {
				t.Errorf("objects that were deleted: %q, want the request's: %v", b.dropped, tt.dropped)
			}
		})
	}
}

// A worker that stops while it fetches gives the request back, and one whose request was
// cancelled meanwhile says so.
func TestFetchEnds(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]Outcome{upstream.ErrStopping: Nacked, upstream.ErrCancelled: Failed} {
		b := &fakeBus{}
		l := newLine(t, b, nil)
		b.body = func(ctx context.Context, _ events.BodyRef) ([]byte, error) {
			l.inFlight.cancel(cancellation{id: anID}, cause)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		if r := l.handle(t.Context(), byReference("")); r.outcome != want || want == Failed && r.code != events.Cancelled {
			t.Errorf("%v: got %v, %s", cause, r.outcome, r.code)
		}
	}
}

// A result that is too large for a message is an object, and its event has all that there
// is room for.
func TestResultByReference(t *testing.T) {
	t.Parallel()
	answer := upstream.Answer{Content: strings.Repeat("a", 100), Reasoning: "because", ToolCalls: json.RawMessage(`[{}]`)}
	for name, tt := range map[string]struct {
		refusals  int  // of the event, one after the other
		full      bool // so is the bucket
		second    bool // another result is stored first
		reasoning bool
		tools     bool
		metadata  bool
		code      events.Code
	}{
		"fits":                  {refusals: 1, reasoning: true, tools: true, metadata: true},
		"without reasoning":     {refusals: 2, tools: true, metadata: true},
		"without tools":         {refusals: 3, metadata: true},
		"without metadata":      {refusals: 4},
		"refused in every form": {refusals: 5, code: events.PayloadTooLarge, metadata: true},
		"the bucket is full":    {refusals: 2, full: true, code: events.PayloadTooLarge, metadata: true},
		"another was first":     {refusals: 1, second: true, reasoning: true, tools: true, metadata: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stored []byte
			refusals := tt.refusals
			b := &fakeBus{settle: func(bus.End) (bus.Settled, error) {
				if refusals--; refusals >= 0 {
					return bus.Settled{}, bus.ErrTooLarge
				}
				return bus.Settled{Stored: !tt.second}, nil
			}}
			b.put = func(result []byte) (events.BodyRef, error) {
				if stored != nil {
					t.Error("it is put twice")
				}
				if stored = result; tt.full {
					return events.BodyRef{}, bus.ErrRefused
				}
				return events.BodyRef{Bucket: "GEMINI_BODIES", Name: "result/x", Size: len(result), Digest: events.BodyDigest(result), Note: events.NoteResultRef}, nil
			}
			l := newLine(t, b, func(context.Context, events.Request) upstream.Reply {
				return upstream.Reply{Answer: &answer, Attempts: 1}
			})
			l.handle(t.Context(), delivery(""))
			ends := b.settled()
			event := ends[len(ends)-1].Result
			if tt.code != "" {
				if event.ErrorCode == nil || *event.ErrorCode != tt.code || (event.Metadata != nil) != tt.metadata || event.ResultRef != nil {
					t.Errorf("got %+v", event)
				}
			} else if event.Content != nil || event.ResultRef == nil || event.Error != nil || (event.Reasoning != nil) != tt.reasoning ||
				(event.ToolCalls != nil) != tt.tools || (event.Metadata != nil) != tt.metadata || event.ResultRef.Matches(stored) != nil {
				t.Errorf("got %+v", event)
			}
			whole, err := events.DecodeResult(stored)
			if err != nil || whole.Content == nil || *whole.Content != answer.Content || *whole.Reasoning != "because" || string(whole.Metadata) != `{"a":1}` || whole.ResultRef != nil {
				t.Errorf("the object: %s, %v", stored, err)
			}
			if orphan := (tt.code != "" || tt.second) && !tt.full; slices.Contains(b.dropped, "result/x") != orphan {
				t.Errorf("objects that were deleted: %q, want the result's: %v", b.dropped, orphan)
			}
		})
	}
}

// What cannot be encoded does not end the process, and the request has its result.
func TestResultByReferencePanics(t *testing.T) {
	t.Parallel()
	first := true
	b := &fakeBus{settle: func(bus.End) (bus.Settled, error) {
		if first {
			first = false
			return bus.Settled{}, bus.ErrTooLarge
		}
		return bus.Settled{Stored: true}, nil
	}, put: func([]byte) (events.BodyRef, error) { panic(errors.New("no")) }}
	if r := newLine(t, b, nil).handle(t.Context(), delivery("")); r.outcome != Failed || r.code != events.PayloadTooLarge {
		t.Errorf("got %v, %s", r.outcome, r.code)
	}
}
