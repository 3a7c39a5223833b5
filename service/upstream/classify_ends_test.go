package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// What ends a call on our side. The cause counts, not what the client made of
// it.
func TestClassifyOurOwnEnds(t *testing.T) {
	t.Parallel()
	c := newSimulated(t, openrouter.Config{})
	until := time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC)
	ended := func(cause error) error {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return c.ask(ctx, "sk-or-test", "hello")
	}
	passed, cancel := context.WithDeadlineCause(t.Context(), time.Now().Add(-time.Second), ErrDeadline)
	defer cancel()
	tests := map[string]struct {
		err  error
		want *Error
	}{
		"cancelled":                  {ended(ErrCancelled), ours(events.Cancelled)},
		"deadline":                   {c.ask(passed, "sk-or-test", "hello"), ours(events.DeadlineExceeded)},
		"cancelled, with a fault":    {errors.Join(ErrCancelled, c.fail(t, "[sim:503]")), ours(events.Cancelled)},
		"a call that never began":    {c.ask(t.Context(), "", "hello"), never(events.InvalidRequest)},
		"attempt's time":             {newSimulated(t, openrouter.Config{Call: 50 * time.Millisecond}).ask(t.Context(), "sk-or-test", "[sim:hang]"), late()},
		"breaker open":               {newError(kindBreakerOpen, 7*time.Second), &Error{Code: events.UpstreamUnavailable, Heals: Later, Wait: 7 * time.Second, health: healthUnknown}},
		"no key":                     {noKey(events.Unauthorized, until, until.Add(-30*time.Second)), &Error{Code: events.Unauthorized, Heals: Later, Wait: 30 * time.Second, health: healthUnknown}},
		"no key, and what led to it": {errors.Join(noKey(events.RateLimited, until, until), c.fail(t, "[sim:401]")), &Error{Code: events.RateLimited, Heals: Later, health: healthUnknown}},
		"stopping":                   {ended(ErrStopping), ours(events.Internal)},
		"a context that ended":       {context.Canceled, ours(events.Internal)},
		"something else":             {io.ErrUnexpectedEOF, never(events.Internal)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameClass(t, fmt.Sprint(tt.err), classify(tt.err), tt.want)
		})
	}
}
