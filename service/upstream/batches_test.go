package upstream

import (
	"encoding/json"
	"testing"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// What Batch does not know is left out of an item, and the rest is as in a call.
func TestBatchRequest(t *testing.T) {
	t.Parallel()
	r := events.Request{Prompt: "Why?", Model: "google/gemini-2.5-flash", Parameters: events.DefaultParameters()}
	r.OpenRouter = map[string]json.RawMessage{
		"models": json.RawMessage(`["google/a"]`), "provider": json.RawMessage(`{"only":["google-vertex"]}`),
		"session_id": json.RawMessage(`"s"`), "service_tier": json.RawMessage(`"flex"`), "response_format": json.RawMessage(`{"type":"json_object"}`),
	}
	got := batchRequest(r.Model, r)
	if len(got.Extra) != 1 || string(got.Extra["response_format"]) != `{"type":"json_object"}` || got.Models != nil || got.Prompt != "Why?" || got.MaxTokens == 0 {
		t.Errorf("got %+v", got)
	}
	if len(r.OpenRouter) != 5 {
		t.Errorf("the request was changed: %v", r.OpenRouter)
	}
}

// An item that does not say what it cost has its share of the batch's cost.
func TestBatchReplyCost(t *testing.T) {
	t.Parallel()
	total := events.Bill{Usage: &events.Usage{TotalTokens: 1000}, Cost: new(0.5)}
	item := func(cost *float64) openrouter.BatchResult {
		return openrouter.BatchResult{Completion: &openrouter.Completion{Content: "x", Usage: &openrouter.Usage{TotalTokens: 100, Cost: cost}}}
	}
	key := &apiKey{secret: "sk-or-test-0123456789abcdef"}
	if got := batchReply(item(nil), total, key); got.Usage.Key != "cdef" || *got.Usage.Cost != 0.05 || got.Usage.ServiceTier != events.TierBatch || got.Attempts != 1 {
		t.Errorf("share: %+v", got.Usage)
	}
	if got := batchReply(item(new(0.0)), total, key); *got.Usage.Cost != 0 {
		t.Errorf("its own cost: %v", *got.Usage.Cost)
	}
	if got := batchReply(item(nil), events.Bill{}, key); got.Usage.Cost != nil {
		t.Errorf("unknown: %v", *got.Usage.Cost)
	}
}
