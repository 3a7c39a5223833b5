package upstream

import (
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// Time limits and size limits of a call.
func TestClassifyLimits(t *testing.T) {
	t.Parallel()
	late := late()
	hasty := newSimulated(t, openrouter.Config{FirstToken: 300 * time.Millisecond, Gap: 300 * time.Millisecond})
	small := newSimulated(t, openrouter.Config{MaxAnswerBytes: 8000})
	tests := map[string]struct {
		client simulated
		fault  string
		want   *Error
	}{
		"no headers":                {hasty, "hang", late},
		"headers, then nothing":     {hasty, "hang_after_headers", late},
		"keep-alives are no tokens": {hasty, "comments every=10ms", late},
		"silence after a token":     {hasty, "stall after=1", late},
		"comments after a token":    {hasty, "comments after=1 every=10ms", late},
		"answer above the limit":    {small, "huge bytes=20000", never(events.PayloadTooLarge)},
		"one event above the limit": {small, "huge_line bytes=20000", never(events.PayloadTooLarge)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameClass(t, tt.fault, classify(tt.client.fail(t, "[sim:"+tt.fault+"]")), tt.want)
		})
	}
}

// A status with OpenRouter's error object is its answer, which an edge's page with
// the same status is not.
func TestStatusWithAnErrorObjectIsFinal(t *testing.T) {
	t.Parallel()
	client := newSimulated(t, openrouter.Config{})
	for _, code := range []string{"405", "409", "421", "425", "451"} {
		sameClass(t, code, classify(client.fail(t, "[sim:status code="+code+" body=json]")), never(events.InvalidRequest))
		sameClass(t, code+" of the edge", classify(client.fail(t, "[sim:status code="+code+" body=html]")),
			&Error{Code: events.UpstreamUnavailable, Heals: Soon, health: healthBad})
	}
}

func TestUntilMidnight(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]time.Duration{
		"2026-11-23T00:00:00Z":      24 * time.Hour,
		"2026-11-23T23:59:59Z":      time.Second,
		"2026-11-23T02:00:00+03:00": time.Hour, // the day is UTC's
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := untilMidnight(now); got != want {
			t.Errorf("at %s: got %v, want %v", at, got, want)
		}
	}
}
