package inprocess_test

import (
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// A failure that nobody paid for is small, however large the request is; small
// metadata always comes back.
func TestUnpaidFailuresAreSmall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	large := map[string]any{"a": strings.Repeat("x", 900_000)}
	small := map[string]any{"a": strings.Repeat("y", 60_000)}
	many := make([]int, 200_000)
	failed := func(why string, returned bool, fields map[string]any) {
		t.Helper()
		id := servicetest.NewID()
		b.Publish(servicetest.Body(id, "hello", fields), nil)
		got := b.Result(id)
		if got.Result.Status != events.StatusError || len(got.Body) > 70_000 {
			t.Errorf("%s: status %s, %d bytes", why, got.Result.Status, len(got.Body))
		}
		if (got.Result.Metadata != nil) != returned || strings.Contains(*got.Result.Error, "metadata has") == returned {
			t.Errorf("%s: metadata of %d bytes; %s", why, len(got.Result.Metadata), *got.Result.Error)
		}
	}
	failed("invalid", false, map[string]any{"metadata": large, "temperature": 7, "stream": 3})
	failed("invalid and small", true, map[string]any{"metadata": small, "stream": 3})
	failed("many broken rules", true, map[string]any{"metadata": map[string]any{"a": 1}, "messages": many})
	failed("a callback of others", false, map[string]any{"metadata": large, "callback_queue": "others"})
	failed("too late", false, map[string]any{"metadata": large, "deadline": "2020-01-01T00:00:00Z"})
	fault, err := simulator.ParseFault("404")
	if err != nil {
		t.Fatal(err)
	}
	b.openrouter.SetFault(fault)
	failed("refused by OpenRouter, unpaid", false, map[string]any{"metadata": large})
	b.openrouter.ClearFaults()
	id := b.Ask("hello", map[string]any{"metadata": large})
	if got := b.Result(id); got.Result.Status != events.StatusSuccess || len(got.Result.Metadata) < 900_000 {
		t.Errorf("a completed one has %d bytes of metadata", len(got.Result.Metadata))
	}
}
