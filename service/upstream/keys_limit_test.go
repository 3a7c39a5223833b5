package upstream_test

import (
	"context"
	"sync"
	"testing"

	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
)

// A key whose limit is spent is known as such before a call is refused, and what
// calls cost lowers what the other has left.
func TestKeysWithLimits(t *testing.T) {
	t.Parallel()
	const spent, rich = "sk-or-test-000000000000aaaa", "sk-or-test-000000000000bbbb"
	b := newBench(t, simulator.Config{}, func(c *config.Config) { c.APIKeys = config.List{spent, rich} })
	b.router.SetKey(spent, simulator.KeySettings{Limit: new(5.0), Spent: 5.5, Reset: "daily"})
	b.router.SetKey(rich, simulator.KeySettings{Limit: new(10.0)})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	defer running.Wait()
	defer cancel()
	until(t, func() bool { return b.Status().KeyList[1].Remaining != nil })
	if s := b.Status().KeyList[0]; s.State != "insufficient_credits" || *s.Remaining != -0.5 || *s.Limit != 5 || s.Reset != "daily" || s.Until != nil {
		t.Errorf("the spent key: got %+v", s)
	}
	for range 6 {
		if re := b.Answer(t.Context(), new(request("hello")), func(int, string) {}); re.Err != nil || re.Attempts != 1 {
			t.Errorf("got %+v in %d attempts", re.Err, re.Attempts)
		}
	}
	for _, call := range b.router.Calls() {
		if call.Key != rich {
			t.Errorf("a call with the spent key: %+v", call.Outcome)
		}
	}
	left, want := *b.Status().KeyList[1].Remaining, 10-b.router.Cost()
	if left >= 10 || left < want-1e-9 || left > want+1e-9 {
		t.Errorf("left: got %v USD, want %v", left, want)
	}
}
