package limits

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (g *Group) tokens(of string, perMinute int64) *Limiter {
	return g.New(Name{Kind: "tenant", Of: of, Unit: "tokens", Counter: "limits." + of + ".tokens"}, perMinute)
}

// Calls of all sizes, larger ones than a window admits among them: over any minute they
// stay within the limit and the largest call of each replica, and use what there is.
func TestTokensOfAllSizes(t *testing.T) {
	t.Parallel()
	for name, largest := range map[string]int64{"smaller than a window": 400, "larger than a window": 9000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const rate, replicas, lasts = 60_000, 4, 20 * time.Minute
				var c counters
				var r record
				ctx, cancel := context.WithTimeout(t.Context(), lasts)
				defer cancel()
				began := time.Now()
				var waits []func()
				for range replicas {
					g, _ := c.replica(0, true, discarding())
					l := g.tokens("a", rate)
					waits = append(waits, callers(ctx, 8, &r, func() Ask { return Ask{Wants: []Want{{l, 1 + rand.Int64N(largest)}}, Within: time.Hour} }), g.Close)
				}
				for _, wait := range waits {
					wait()
				}
				if worst := r.worst(); worst > rate+replicas*largest {
					t.Errorf("%d tokens in a minute, the limit is %d", worst, rate)
				}
				minutes := int64(lasts / time.Minute)
				used := r.between(began, began.Add(lasts))
				if used*100 < rate*minutes*97 || used > rate*minutes+replicas*largest {
					t.Errorf("%.2f %% of the tokens used, want 97 to 100", float64(used)*100/float64(rate*minutes))
				}
				t.Logf("worst minute %d of %d, %.2f %% used", r.worst(), rate, float64(used)*100/float64(rate*minutes))
			})
		})
	}
}

// What was estimated too high is for others, at once and here first; what was too low is
// paid by those that follow.
func TestSettledTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		g, _ := c.replica(0, true, discarding())
		defer g.Close()
		l := g.tokens("a", 61_000) // 500 a window
		wants := func(n int64) time.Duration {
			began := time.Now()
			if err := (Ask{Wants: []Want{{l, n}}, Within: time.Hour}).Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		wants(30_000) // 60 windows
		_ = sleep(t.Context(), window)
		l.Settle(30_000, 100, window)
		if waited := wants(100); waited > 2*window {
			t.Errorf("waited %v after 29,900 of 30,000 tokens were given back", waited)
		}
		l.Settle(0, 10_000, 0)
		if waited := wants(100); waited < 9*time.Second || waited > 11*time.Second {
			t.Errorf("waited %v for 10,000 tokens that were not estimated, want 10 s", waited)
		}
		l.Settle(100, 10, 0)
		synctest.Wait()
		other, _ := c.replica(0, true, discarding())
		defer other.Close()
		l = other.tokens("a", 61_000)
		if waited := wants(1); waited > 2*window {
			t.Errorf("another replica waited %v", waited)
		}
	})
}

// Calls that use nothing of what they take, and last for a minute, and then such as use all
// of it: what the former give back is no more than the limit once again.
func TestWhatOldCallsGiveBackIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate, replicas, most, idle, lasts = 60_000, 3, 400, 6 * time.Minute, 9 * time.Minute
		var c counters
		var r record
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		began := time.Now()
		var all sync.WaitGroup
		for range replicas {
			g, _ := c.replica(0, true, discarding())
			defer g.Close()
			l := g.tokens("a", rate)
			for range 500 {
				all.Go(func() {
					for (Ask{Wants: []Want{{l, most}}, Within: time.Hour}).Acquire(ctx) == nil {
						start, used := time.Now(), int64(0)
						if time.Since(began) > idle {
							used = most
						}
						r.add(used)
						_ = sleep(ctx, time.Minute/2+rand.N(time.Minute))
						l.Settle(most, used, time.Since(start))
					}
				})
			}
		}
		all.Wait()
		used := r.between(began.Add(idle), began.Add(lasts))
		if worst := r.worst(); worst > 2*rate+replicas*most || used < rate*3*97/100 {
			t.Errorf("%d tokens in a minute, %d in 3, the limit is %d", worst, used, rate)
		}
		t.Logf("worst minute %d of %d, %d in 3", r.worst(), rate, used)
	})
}

// A replica that is new sees what the others owe.
func TestDebtsAreSeenByOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		one, _ := c.replica(0, true, discarding())
		other, _ := c.replica(0, true, discarding())
		defer one.Close()
		defer other.Close()
		large := Ask{Wants: []Want{{one.tokens("a", 61_000), 20_000}}, Within: time.Hour}
		if err := large.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = sleep(t.Context(), window) // while its debt is being stored
		began := time.Now()
		small := Ask{Wants: []Want{{other.tokens("a", 61_000), 1}}, Within: time.Hour}
		if err := small.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < 18*time.Second || waited > 20*time.Second {
			t.Errorf("waited %v for the 20,000 tokens of the other replica, want some 19 s", waited)
		}
	})
}
