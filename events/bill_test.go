package events_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func TestBillsAddUp(t *testing.T) {
	t.Parallel()
	first := events.Bill{Usage: &events.Usage{PromptTokens: 2, CompletionTokens: 0, TotalTokens: 2, CachedTokens: new(1), AudioTokens: new(1)}, Cost: new(0.0000006), Details: &events.CostDetails{Upstream: new(0.0000006), UpstreamPrompt: new(0.0000006)}}
	last := events.Bill{Usage: &events.Usage{PromptTokens: 2, CompletionTokens: 59, TotalTokens: 61, ReasoningTokens: new(7), AudioTokens: new(1)}, Cost: new(0.0001481), Details: &events.CostDetails{Upstream: new(0.0001481)}}
	for name, c := range map[string]struct{ a, b, want events.Bill }{
		"nothing":      {},
		"one side":     {a: first, want: first},
		"the other":    {b: first, want: first},
		"both":         {first, last, events.Bill{Usage: &events.Usage{PromptTokens: 4, CompletionTokens: 59, TotalTokens: 63, CachedTokens: new(1), ReasoningTokens: new(7), AudioTokens: new(2)}, Cost: new(0.0001487), Details: &events.CostDetails{Upstream: new(0.0001487), UpstreamPrompt: new(0.0000006)}}},
		"a cost alone": {first, events.Bill{Cost: new(0.0)}, first},
		"two keys":     {events.Bill{Cost: new(0.5), Key: "aaaa"}, events.Bill{Cost: new(0.25), Key: "bbbb"}, events.Bill{Cost: new(0.75), Key: "bbbb"}},
		"one paid":     {events.Bill{Cost: new(0.5), Key: "aaaa"}, events.Bill{Cost: new(0.0), Key: "bbbb"}, events.Bill{Cost: new(0.5), Key: "aaaa"}},
		"none paid":    {events.Bill{Cost: new(0.0), Key: "aaaa"}, events.Bill{Key: "bbbb"}, events.Bill{Cost: new(0.0), Key: "bbbb"}},
		"old and new":  {events.Bill{Cost: new(0.5)}, events.Bill{Key: "bbbb"}, events.Bill{Cost: new(0.5)}},
	} {
		got := c.a.Plus(c.b)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if diff := cmp.Diff(got, events.Billed(events.Header{"gemini-billed": {got.String()}})); diff != "" {
			t.Errorf("%s, through a header: -want +got\n%s", name, diff)
		}
	}
	if *first.Cost != 0.0000006 || first.Usage.PromptTokens != 2 {
		t.Error("Plus changed what it adds")
	}
}

func TestBilledIgnoresWhatIsNoBill(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "1", "[]", `{"cost":"much"}`, `{"usage":{"prompt_tokens":1.5}}`, "\x00", `{"cost":1e999}`} {
		if got := events.Billed(events.Header{events.HeaderBilled: {value}}); !got.Empty() {
			t.Errorf("Billed(%q): got %s, want nothing", value, got)
		}
	}
}
