package upstream

import (
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter"
)

const sharedForNobody = "limits of all workers, and none declared"

// The policies take no memory for a call that nothing befalls: all of them together
// allocate what the HTTP call does, and no more. Not parallel: it counts the allocations
// of the process.
func TestPoliciesAllocateNothing(t *testing.T) { //nolint:paralleltest // see above
	const stream = `data: {"model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	client, err := openrouter.New(openrouter.Config{Transport: responses(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(stream)), Request: r}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	for name, perMinute := range map[string]int{"no limit": 0, "KEYS_MAX_PER_MINUTE": 60_000_000, sharedForNobody: 0} { //nolint:paralleltest // see above
		t.Run(name, func(t *testing.T) {
			p, _ := newTestCaller(t, func(c *config.Config) { c.KeysMaxPerMinute = perMinute })
			u := p.Caller
			if name == sharedForNobody {
				u.Share(Sharing{Names: events.DefaultNames(), Tenants: tenants(nil)})
			}
			u.client = client
			ctx, fresh := t.Context(), call{caller: u, event: &events.Request{}, request: question(), piece: ignore}
			fresh.models()
			count := func(ask func(c *call) error) float64 {
				c, least := fresh, math.Inf(1) // the race detector empties pools now and then
				for range 200 {
					least = min(least, testing.AllocsPerRun(1, func() {
						c.answer, c.attempts = nil, 0
						if err := ask(&c); err != nil || c.attempts != 1 || c.answer.Content != "hello" {
							t.Fatal(err)
						}
					}))
				}
				return least
			}
			all := count(func(c *call) error { return u.withModel(ctx, c) })
			bare := count(func(c *call) error {
				if c.lease.key == nil {
					c.lease = *take(t, u.keys, 0)
				}
				return u.complete(ctx, c)
			})
			if all != bare {
				t.Errorf("got %v objects a call with the policies and %v without, want as many", all, bare)
			}
		})
	}
}
