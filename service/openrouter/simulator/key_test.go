package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// TestKeyLimits has a key that may spend little and one that has ended.
func TestKeyLimits(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	b.SetKey(testKey, simulator.KeySettings{Limit: new(1.0), Spent: 0.75, Reset: "weekly", ExpiresAt: time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)})
	if got := b.get(t, "/api/v1/key", testKey).body; !strings.Contains(got, `"limit":1,`) || !strings.Contains(got, `"limit_remaining":0.25,"limit_reset":"weekly"`) || !strings.Contains(got, `"expires_at":"2100-01-02T03:04:05Z"`) || !strings.Contains(got, `"usage":0.75,`) {
		t.Errorf("got %s", got)
	}
	if got := b.chat(t, "why?", nil); got.status != http.StatusOK {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	if got := b.get(t, "/api/v1/key", testKey).body; strings.Contains(got, `"limit_remaining":0.25,`) {
		t.Errorf("a call has cost nothing: %s", got)
	}
	b.SetKey(testKey, simulator.KeySettings{Limit: new(1.0), Spent: 1})
	if got := b.chat(t, "why?", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "Key limit exceeded") || b.last(t).Outcome != simulator.OutcomeSpent {
		t.Errorf("spent: got %d %s, %s", got.status, got.body, b.last(t).Outcome)
	}
	b.SetKey(testKey, simulator.KeySettings{ExpiresAt: time.Now().Add(-time.Second)})
	if got := b.chat(t, "why?", nil); got.status != http.StatusUnauthorized {
		t.Errorf("expired: got %d %s", got.status, got.body)
	}
	if got := b.get(t, "/api/v1/key", testKey); got.status != http.StatusUnauthorized {
		t.Errorf("expired: /key: got %d %s", got.status, got.body)
	}
	b.SetKey(testKey, simulator.KeySettings{})
	if got := b.chat(t, "why?", nil); got.status != http.StatusOK {
		t.Errorf("without limits again: got %d %s", got.status, got.body)
	}
}
