package inprocess_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// Each request that is larger than the whole memory budget gets its one result, and
// so do its neighbours. What that takes is measured in integration (TestBombs).
func TestBombsAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.MemoryBudget = 1 << 20 })
	b.start()
	want := map[string]events.Code{}
	put := func(id string, code events.Code, body []byte, header nats.Header) {
		want[id] = code
		if _, err := b.JS.PublishMsg(b.Context(), &nats.Msg{Subject: b.Names.RequestQueue, Header: header, Data: body}); err != nil {
			t.Fatal(err)
		}
	}
	for _, bomb := range servicetest.Bombs(900 << 10) {
		code := map[string]events.Code{
			"parts": events.InvalidRequest, "openrouter": events.InvalidRequest, "tools": events.InvalidRequest,
			"metadata of a failure": events.InvalidRequest, "deep metadata": events.InvalidRequest,
		}[bomb.Name]
		id := servicetest.NewID()
		put(id, code, bomb.Body(id), bomb.Header)
		id = servicetest.NewID()
		put(id, "", servicetest.Body(id, "a neighbour", nil), nil)
	}
	for id, code := range want {
		got := b.Result(id).Result
		if got.ErrorCode == nil && code != "" || got.ErrorCode != nil && *got.ErrorCode != code {
			t.Errorf("%s: got %v %v, want %q", id, got.Status, got.ErrorCode, code)
		}
	}
	b.Idle()
	if n := len(b.Results()); n != len(want) {
		t.Errorf("%d results for %d requests", n, len(want))
	}
}
