package upstream

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/limits"
)

// KEYS_MAX_PER_MINUTE of two workers with two keys: no key makes more calls in a minute
// than the limit, and all of it is used.
func TestKeysOfTheFleet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate, minutes = 61, 8
		var c tally
		ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute)
		defer cancel()
		var mu sync.Mutex
		began := map[string][]time.Time{}
		note := func(u *fakeRouter) {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range u.calls {
				began[key] = append(began[key], time.Now())
			}
			u.calls = nil
		}
		var waits []func() []time.Time
		for range 2 {
			p, up := c.sharing(t, tenants(nil), func(c *config.Config) { c.APIKeys, c.KeysMaxPerMinute, c.Concurrency = []string{"a", "b"}, rate, 40 }, ok)
			waits = append(waits, pressing(ctx, 10, func() Reply {
				re := p.ask(ctx)
				up.mu.Lock()
				defer up.mu.Unlock()
				note(up)
				return re
			}))
		}
		for _, wait := range waits {
			wait()
		}
		for _, key := range []string{"a", "b"} {
			if worst, n := worstMinute(began[key]), len(began[key]); worst > rate || n < rate*minutes*97/100 {
				t.Errorf("key %s: %d calls in a minute, %d in all, want at most %d, %d", key, worst, n, rate, rate*minutes)
			}
		}
	})
}

// Another key is used whose window is open.
func TestKeyWhoseWindowIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		p, up := c.sharing(t, tenants(nil), func(c *config.Config) { c.APIKeys, c.KeysMaxPerMinute = []string{"a", "b"}, 122 }, ok)
		for range 4 { // one a window and key
			checkReply(t, p.ask(t.Context()), "")
		}
		if a, b := up.calls[:2], up.calls[2:]; slices.Equal(a, []string{a[0], a[0]}) || slices.Equal(b, []string{b[0], b[0]}) {
			t.Errorf("calls went to %v, want each key once in each window", up.calls)
		}
	})
}

// A tenant's limit keeps its own calls waiting, and nobody else's. More than a few do not
// wait for long: they come later, one after the other.
func TestLimitOfATenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate = 60
		var c tally
		p, _ := c.sharing(t, tenants(map[string][2]int{"acme": {rate, 0}}), func(c *config.Config) { c.Concurrency = 8 }, ok)
		var all sync.WaitGroup
		var mu sync.Mutex
		var later []time.Duration
		answered := 0
		for range 30 {
			all.Go(func() {
				re := p.of(t.Context(), "acme", "m")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case re.Err == nil:
					answered++
				case re.Err.Code == events.RateLimited && re.Err.Heals == Later && re.Attempts == 0:
					later = append(later, re.Err.Wait)
				default:
					t.Errorf("got %v", re.Err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		checkReply(t, p.of(t.Context(), "other", "m"), "")
		checkReply(t, p.ask(t.Context()), "")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("others waited %v", waited)
		}
		all.Wait()
		slices.Sort(later)
		for i, wait := range later[1:] {
			if gap := wait - later[i]; gap > 5*time.Second {
				t.Errorf("they come later after %v", later)
			}
		}
		if first, last := later[0], later[len(later)-1]; last-first < time.Duration(len(later)-3)*time.Second {
			t.Errorf("%d come later between %v and %v, want them spread at %d a minute", len(later), first, last, rate)
		}
		if answered == 0 || answered > 12 {
			t.Errorf("%d were answered while they waited in their slots", answered)
		}
		checkSeats(t, p)
	})
}

// noSeats wants that nobody sits.
func checkSeats(t *testing.T, p testCaller) {
	t.Helper()
	if n := len(p.seats); n != 0 {
		t.Errorf("%d seats are taken", n)
	}
	noneInUse(t, p.keys)
}

// The same for a model, whose calls of all tenants count, and go to no other model.
func TestLimitOfAModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		p, _ := c.sharing(t, tenants(nil), func(c *config.Config) {
			c.Concurrency = 100
			if err := c.ModelsMaxPerMinute.UnmarshalText([]byte("google/m=30,google/free*=0,google/*=100")); err != nil {
				t.Fatal(err)
			}
		}, ok)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		limited := pressing(ctx, 10, func() Reply { return p.of(ctx, "", "google/m") })
		free := pressing(ctx, 1, func() Reply {
			began := time.Now()
			re := p.of(ctx, "acme", "google/free-1")
			if time.Since(began) > 0 {
				t.Errorf("a model without a limit waited %v", time.Since(began))
			}
			_ = sleep(ctx, time.Second)
			return re
		})
		if at := limited(); worstMinute(at) > 30 || len(at) < 4*30*97/100-1 {
			t.Errorf("%d in a minute, %d in 4, want 30 a minute", worstMinute(at), len(at))
		}
		free()
		checkSeats(t, p)
	})
}

// A suffix that chooses a provider, a date or an alias is no way around a model's limit.
func TestNamesOfALimitedModel(t *testing.T) {
	t.Parallel()
	var c tally
	p, _ := c.sharing(t, tenants(nil), func(c *config.Config) {
		if err := c.ModelsMaxPerMinute.UnmarshalText([]byte("google/m=30,google/old-20260101=7,google/m:free=5")); err != nil {
			t.Fatal(err)
		}
	}, ok)
	for name, want := range map[string]int64{
		"google/m": 30, "google/m:floor": 30, "google/m:nitro:floor": 30, "~google/m": 30, "google/m@preset/x": 30, "google/m-20260721": 30,
		"~google/m-20260721:exacto": 30, "google/m:free": 5, "google/old-20260101": 7, "@preset/x": 0, "google/n": 0,
	} {
		wants := p.shared.ofModel(nil, name)
		switch {
		case want == 0 && len(wants) == 0:
		case len(wants) != 1 || wants[0].Limiter.Rate() != want || want == 30 && wants[0].Limiter.Of != "google/m":
			t.Errorf("%s: %+v, want %d a minute", name, wants, want)
		}
	}
}

// An attempt counts as what it may take until it is known what it took; one of which that
// is not known stays what it was taken for. Each attempt counts.
func TestTokensOfACall(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reactions []reaction
		want      int64
	}{
		"known":                       {[]reaction{used("100")}, 100},
		"not known":                   {[]reaction{ok}, 1008},
		"more than estimated":         {[]reaction{used("5000")}, 5000},
		"a repeat after an unknown":   {[]reaction{status(504), used("100")}, 1108},
		"a repeat after a refusal":    {[]reaction{status(503), used("100")}, 100},
		"refused":                     {[]reaction{status(400)}, 0},
		"none, as it was not allowed": {nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c tally
				p, _ := c.sharing(t, tenants(map[string][2]int{"acme": {6000, 6_000_000}}), nil, tt.reactions...)
				ctx, cancel := context.WithCancelCause(t.Context())
				if tt.reactions == nil {
					cancel(ErrCancelled)
				}
				one := &call{caller: p.Caller, event: &events.Request{Tenant: "acme"}, request: withTokens(question(), 1000), piece: ignore, start: time.Now()}
				p.do(ctx, one)
				_ = sleep(t.Context(), 2*time.Second)
				requests, tokens := c.sum("gemini.limits.tenant.acme.requests."), c.sum("gemini.limits.tenant.acme.tokens.")
				if tokens != tt.want || requests != int64(one.attempts) {
					t.Errorf("%d tokens and %d requests of %d attempts are counted, want %d", tokens, requests, one.attempts, tt.want)
				}
				cancel(nil)
			})
		})
	}
}

// A call whose turn would come after its deadline ends at once, and so does one that
// would wait for longer than RETRY_WAIT_MAX.
func TestNoWaitInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c tally
		p, up := c.sharing(t, tenants(map[string][2]int{"acme": {1, 0}}), func(c *config.Config) { c.Concurrency = 100 }, ok)
		for p.of(t.Context(), "acme", "m").Err != nil { // the minute's one
			_ = sleep(t.Context(), time.Second)
		}
		began := time.Now()
		for _, ctx := range []context.Context{ending(t, 10*time.Second), t.Context()} {
			if re := p.of(ctx, "acme", "m"); re.Err == nil || re.Err.Code != events.RateLimited || re.Err.Wait < 55*time.Second || re.Attempts != 0 {
				t.Errorf("got %v, want rate_limited for a minute", re.Err)
			}
		}
		if time.Since(began) != 0 || len(up.calls) != 1 {
			t.Errorf("%v later there are %d calls", time.Since(began), len(up.calls))
		}
	})
}

// A worker that shares no counters has the limits for itself, in process scope too.
func TestWithoutSharedCounters(t *testing.T) {
	t.Parallel()
	for scope, interval := range map[string]time.Duration{"fleet": 0, "process": 6 * time.Second} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := tally{err: limits.ErrNotShared}
				p, _ := c.sharing(t, tenants(nil), func(c *config.Config) { c.KeysMaxPerMinute, c.KeysLimitScope = 10, scope }, ok)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				at := pressing(ctx, 3, func() Reply { return p.ask(ctx) })()
				if worst := worstMinute(at); worst > 10 || len(at) < 97 {
					t.Errorf("%d in a minute, %d in ten, want 10 a minute", worst, len(at))
				}
				if gap := at[2].Sub(at[1]); interval > 0 && gap != interval {
					t.Errorf("two calls are %v apart, want %v", gap, interval)
				}
			})
		})
	}
}
