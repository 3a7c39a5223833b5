package inprocess_test

import (
	"testing"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
)

// An error page of an edge or a proxy before OpenRouter is an outage, whatever its
// status says: it costs delay and no request.
func TestEdgePage(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start()
	b.openrouter.SetFault(simulator.Fault{Name: "status", Params: map[string]string{"code": "403", "body": "html"}, Times: 20})
	var ids []string
	for range 20 {
		ids = append(ids, b.Ask("hello", nil))
	}
	for _, id := range ids {
		if got := b.Result(id); got.Result.Status != events.StatusSuccess {
			t.Errorf("result: %s", got.Body)
		}
	}
	b.Idle()
	if n := b.openrouter.Count(); n < 40 {
		t.Errorf("calls: got %d, want 20 that failed and 20 that answered", n)
	}
}
