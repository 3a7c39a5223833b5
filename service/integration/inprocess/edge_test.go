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
	for _, code := range []string{"400", "403", "404", "405", "409", "413", "421", "425", "451"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			meetEdgePage(t, code)
		})
	}
}

func meetEdgePage(t *testing.T, code string) {
	t.Helper()
	b := setup(t, quick)
	b.start()
	b.openrouter.SetFault(simulator.Fault{Name: "status", Params: map[string]string{"code": code, "body": "html"}, Times: 20})
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
