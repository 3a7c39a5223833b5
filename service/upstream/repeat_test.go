package upstream_test

import (
	"context"
	"testing"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/upstream"
)

// Before each attempt but the first it is asked whether the request is still wanted.
func TestBeforeRepeat(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cancelAt        int
		attempts, looks int
		code            events.Code
	}{
		"wanted":                  {0, 3, 2, ""},
		"no longer at the second": {1, 1, 1, events.Cancelled},
		"no longer at the third":  {2, 2, 2, events.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, simulator.Config{}, nil)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			looks := 0
			re := b.Answer(upstream.WithBeforeRepeat(ctx, func(context.Context) {
				if looks++; looks == tt.cancelAt {
					cancel(upstream.ErrCancelled)
				}
			}), new(request("Why? [sim:503 times=2]")), func(int, string) {})
			var code events.Code
			if re.Err != nil {
				code = re.Err.Code
			}
			if re.Attempts != tt.attempts || looks != tt.looks || code != tt.code || b.router.Count() != tt.attempts {
				t.Errorf("got %d attempts, %d calls, %d looks, code %q; want %+v", re.Attempts, b.router.Count(), looks, code, tt)
			}
		})
	}
}
