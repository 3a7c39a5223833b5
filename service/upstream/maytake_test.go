package upstream

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/config"
)

// MayTake tells the intake how many requests the next windows have room for, less those
// that wait already.
func TestMayTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		declared := tenants(map[string][2]int{"acme": {1220, 0}, "b": {0, 122_000}, "free": {0, 0}})
		p, _ := c.sharing(t, declared, func(c *config.Config) { c.Concurrency = 1000 }, ok)
		want := func(tenant string, inFlight, n int, when string) {
			t.Helper()
			if got, again, why := p.MayTake(tenant, inFlight); got != n || (again == 0) != (n > 0) || (why == "") != (n > 0) {
				t.Errorf("%s: %s: got %d, %v, %q, want %d", tenant, when, got, again, why, n)
			}
		}
		want("", 0, math.MaxInt, "without a limit of keys")
		want("acme", 0, 30, "at first")
		want("acme", 10, 20, "with ten on their way")
		want("acme", 30, 0, "with as many as there is room for")
		want("free", 1000, math.MaxInt, "at first")
		want("nobody", 0, math.MaxInt, "at first")
		checkReply(t, p.of(t.Context(), "b", "m"), "") // 8204 tokens, of 1000 a window
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { p.of(ctx, "acme", "m") })
		}
		_ = sleep(t.Context(), 2*time.Millisecond)
		want("acme", 50, 0, "behind 50 calls")
		if _, _, why := p.MayTake("acme", 50); !strings.Contains(why, "requests a minute of tenant acme") {
			t.Errorf("got %q", why)
		}
		_ = sleep(t.Context(), 100*time.Millisecond)
		want("b", 0, 0, "while tokens are owed")
		cancel()
		all.Wait()
		if n := p.shared.arrived.of("acme") + p.shared.arrived.of(""); n != 0 {
			t.Errorf("%d calls are still counted as having arrived", n)
		}
		declared.Replace(nil)
		want("acme", 0, math.MaxInt, "when it is not declared any more")
	})
}

func TestMayTakeOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		p, _ := c.sharing(t, tenants(nil), func(c *config.Config) { c.APIKeys, c.KeysMaxPerMinute = []string{"a", "b"}, 122 }, ok)
		if n, again, _ := p.MayTake("", 0); n != 6 || again != 0 {
			t.Errorf("got %d, %v, want 3 of each key", n, again)
		}
		if n, _, _ := p.MayTake("", 4); n != 2 {
			t.Errorf("with four on their way: got %d, want 2", n)
		}
		p.keys.failed(take(t, p.keys, 0), asks(tooMany(), time.Minute))
		if n, again, _ := p.MayTake("", 0); n != 3 || again != 0 {
			t.Errorf("while a key cools down: got %d, %v, want 3", n, again)
		}
		alone, _ := newTestCaller(t, nil, ok)
		if n, _, _ := alone.MayTake("acme", 0); n != math.MaxInt {
			t.Errorf("without shared limits: got %d", n)
		}
	})
}

// A call that waits in its slot for a sick model has no place in the limit of its tenant.
func TestMayTakeBesideASickModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		p, _ := c.sharing(t, tenants(map[string][2]int{"acme": {122, 0}}), nil, ok)
		p.models.of("m").breaker.Open()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.of(ctx, "acme", "m") }()
		synctest.Wait()
		if n, _, why := p.MayTake("acme", 1); n != 3 {
			t.Errorf("got %d, %q, want 3", n, why)
		}
		cancel()
		<-done
	})
}
