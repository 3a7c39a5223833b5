package upstream

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// checkMayTake says what MayTake returns of a tenant when so many of its requests are coming.
func (p testCaller) checkMayTake(t *testing.T, tenant string, coming, n int, when string) {
	t.Helper()
	if got, again := p.MayTake(tenant, coming); got != n || (again == 0) != (n > 0) {
		t.Errorf("%q: %s: got %d, %v, want %d", tenant, when, got, again, n)
	}
}

// MayTake tells the intake how many requests the next windows have room for, less those
// that wait already, and those that come.
func TestMayTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		declared := tenants(map[string][2]int{"acme": {1220, 0}, "b": {0, 122_000}, "free": {0, 0}})
		p, _ := c.sharing(t, declared, func(c *config.Config) { c.Concurrency = 1000 }, ok)
		p.checkMayTake(t, "", 0, math.MaxInt, "without a limit of keys")
		p.checkMayTake(t, "acme", 0, 30, "at first")
		p.checkMayTake(t, "acme", 10, 20, "with ten on their way")
		p.checkMayTake(t, "acme", 30, 0, "with as many as there is room for")
		p.checkMayTake(t, "free", 1000, math.MaxInt, "at first")
		p.checkMayTake(t, "nobody", 0, math.MaxInt, "at first")
		checkReply(t, p.of(t.Context(), "b", "m"), "") // 8204 tokens, of 1000 a window
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { p.of(ctx, "acme", "m") })
		}
		_ = sleep(t.Context(), 2*time.Millisecond)
		p.checkMayTake(t, "acme", 0, 0, "behind 50 calls")
		_ = sleep(t.Context(), 100*time.Millisecond)
		p.checkMayTake(t, "b", 0, 0, "while tokens are owed")
		cancel()
		all.Wait()
		declared.Replace(nil)
		p.checkMayTake(t, "acme", 0, math.MaxInt, "when it is not declared any more")
	})
}

func TestMayTakeOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		p, _ := c.sharing(t, tenants(nil), func(c *config.Config) { c.APIKeys, c.KeysMaxPerMinute = []string{"a", "b"}, 122 }, ok)
		p.checkMayTake(t, "", 0, 6, "three of each key")
		p.checkMayTake(t, "", 4, 2, "with four on their way")
		p.keys.failed(take(t, p.keys, 0), asks(tooMany(), time.Minute))
		p.checkMayTake(t, "", 0, 3, "while a key cools down")
		alone, _ := newTestCaller(t, nil, ok)
		alone.checkMayTake(t, "acme", 0, math.MaxInt, "without shared limits")
	})
}

// TestPatienceBoundsWhatMayBeTaken: what would be sent back at once is not taken.
func TestPatienceBoundsWhatMayBeTaken(t *testing.T) {
	t.Parallel()
	for wait, n := range map[time.Duration]int{0: 10, 499 * time.Millisecond: 10, 500 * time.Millisecond: 20, time.Second: 30, time.Minute: 30} {
		synctest.Test(t, func(t *testing.T) {
			var c tally
			p, _ := c.sharing(t, tenants(map[string][2]int{"acme": {1220, 0}}), func(c *config.Config) { c.RetryWaitMax = wait }, ok)
			p.checkMayTake(t, "acme", 0, n, "where calls wait for "+wait.String())
		})
	}
}

// TestWhenARequestHasArrived: it counts as coming until it waits for its limits, or for
// something else, or has none.
func TestWhenARequestHasArrived(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		tenant  string
		prepare func(testCaller)
		arrived bool // while it waits
	}{
		"in line":                {"acme", func(testCaller) {}, true},
		"it has no limit":        {"free", func(testCaller) {}, true},
		"its model has a limit":  {"limited", func(testCaller) {}, true},
		"its model is sick":      {"acme", func(p testCaller) { p.models.of("m").breaker.Open() }, true},
		"OpenRouter is not well": {"acme", func(p testCaller) { p.breaker.Open() }, false},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c tally
				p, _ := c.sharing(t, tenants(map[string][2]int{"acme": {1, 0}, "limited": {0, 0}}), func(c *config.Config) {
					if tt.tenant == "limited" {
						c.ModelsMaxPerMinute = config.ModelLimits{{Models: "m", PerMinute: 1}}
					}
				}, slow(time.Hour, ok))
				tt.prepare(p)
				ctx, cancel := context.WithCancel(t.Context())
				var arrived atomic.Int64
				done := make(chan struct{})
				go func() {
					defer close(done)
					request := events.Request{ID: "1", Tenant: tt.tenant, Model: "m", Prompt: "hello", Parameters: events.DefaultParameters()}
					p.Answer(WithQueue(ctx, &Queue{Arrived: func() { arrived.Add(1) }}), &request, ignore)
				}()
				synctest.Wait()
				if n := arrived.Load(); n > 0 != tt.arrived {
					t.Errorf("it has arrived %d times", n)
				}
				cancel()
				<-done
				if arrived.Load() == 0 {
					t.Error("it has ended and not arrived")
				}
			})
		})
	}
}

// TestBackToTheQueue: a request whose queue waits for its tenant's limit goes back to it, and
// others are told a time of their own.
func TestBackToTheQueue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tenant string
		queue  *Queue
		back   bool
	}{
		"its queue waits":        {"acme", &Queue{Arrived: func() {}, Waits: true}, true},
		"through the retries":    {"acme", &Queue{Arrived: func() {}}, false},
		"a limit of its model":   {"free", &Queue{Arrived: func() {}, Waits: true}, false},
		"nothing is known of it": {"acme", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c tally
				p, _ := c.sharing(t, tenants(map[string][2]int{"acme": {1, 0}}), func(c *config.Config) {
					c.ModelsMaxPerMinute = config.ModelLimits{{Models: "m", PerMinute: 1}}
				}, ok)
				ctx := t.Context()
				if tt.queue != nil {
					ctx = WithQueue(ctx, tt.queue)
				}
				if tt.tenant == "acme" {
					checkReply(t, p.of(ctx, tt.tenant, "other"), "")
				} else {
					checkReply(t, p.of(ctx, tt.tenant, "m"), "")
				}
				model := map[string]string{"acme": "other", "free": "m"}[tt.tenant]
				re := p.of(ctx, tt.tenant, model)
				if re.Err == nil || re.Err.GoesBack != tt.back || (re.Err.Wait == nextInQueue) != tt.back {
					t.Errorf("got %+v, want it to go back: %v", re.Err, tt.back)
				}
			})
		})
	}
}
