package upstream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Whoever leaves the line, first in it or not, leaves no gap: the others move
// up, and the next call does not wait for turns that nobody used.
func TestTurnsOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	const rate, interval = 10, 6 * time.Second
	tests := map[string]struct {
		leave []time.Duration // when each call in line is cancelled; 0: never
		began []time.Duration // when each of those that stay begins
	}{
		"nobody":           {[]time.Duration{0, 0, 0}, []time.Duration{interval, 2 * interval, 3 * interval}},
		"the first":        {[]time.Duration{time.Second, 0, 0}, []time.Duration{interval, 2 * interval}},
		"the second":       {[]time.Duration{0, time.Second, 0}, []time.Duration{interval, 2 * interval}},
		"the first later":  {[]time.Duration{5 * time.Second, 0}, []time.Duration{interval}},
		"all but the last": {[]time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 0}, []time.Duration{interval}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := testKeys(rate, "a")
				k.succeeded(take(t, k, 0)) // the line begins behind it
				start, mu, wg := time.Now(), sync.Mutex{}, sync.WaitGroup{}
				var began []time.Duration
				for _, after := range tt.leave {
					wg.Go(func() {
						l, err := begin(ending(t, -after), k, 0, nil)
						if (err != nil) != (after > 0) {
							t.Errorf("cancelled after %v: got %v", after, err)
						}
						if err == nil {
							mu.Lock()
							began = append(began, time.Since(start))
							mu.Unlock()
							k.succeeded(l)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				for i, want := range tt.began {
					if len(began) != len(tt.began) || began[i] != want {
						t.Fatalf("calls began after %v, want %v", began, tt.began)
					}
				}
				noneInUse(t, k)
			})
		})
	}
}

// A hundred waiters that are cancelled take no turn with them.
func TestTurnsAfterManyHaveLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(10, "a")
		k.succeeded(take(t, k, 0))
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if l, err := begin(ctx, k, 0, nil); err == nil {
					t.Errorf("got %v, want none to begin", l)
				}
			})
		}
		synctest.Wait()
		_ = sleep(t.Context(), time.Second)
		cancel(ErrCancelled)
		wg.Wait()
		start := time.Now()
		k.succeeded(take(t, k, 0))
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("the next call waited %v, want the 5 s that were left of the interval", waited)
		}
	})
}

// The same through all the policies, with every kind of end: nobody who left is
// waited for, and none of them was called for.
func TestCallsThatLeaveTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, func(c *config.Config) { c.KeysMaxPerMinute, c.Concurrency = 10, 100 }, ok)
		checkReply(t, p.ask(t.Context()), "")
		var wg sync.WaitGroup
		for n := range 100 {
			end := []time.Duration{-time.Second, time.Duration(-n-1) * 50 * time.Millisecond, 5900 * time.Millisecond}[n%3] // all before the first turn, at 6 s
			wg.Go(func() {
				if re := p.ask(ending(t, end)); re.Err == nil || re.Attempts != 0 {
					t.Errorf("ended after %v: got %+v, want an end without a call", end, re)
				}
			})
		}
		start := time.Now()
		wg.Wait()
		checkReply(t, p.ask(t.Context()), "")
		if waited := time.Since(start); waited != 6*time.Second || len(up.calls) != 2 {
			t.Errorf("the next call began %v after the first, %d calls in all, want 6 s, 2", waited, len(up.calls))
		}
		noneInUse(t, p.keys)
	})
}

// The same for repeats that are given up before they wait for their turn: the request
// is no longer wanted, or the look for that panics.
func TestRepeatsThatLeaveTheLine(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(context.CancelCauseFunc){
		"cancelled": func(cancel context.CancelCauseFunc) { cancel(ErrCancelled) },
		"panics":    func(context.CancelCauseFunc) { panic("a look") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, up := newTestCaller(t, func(c *config.Config) { c.KeysMaxPerMinute = 10 }, status(503))
				for range 5 {
					ctx, cancel := context.WithCancelCause(t.Context())
					func() {
						defer func() { _ = recover() }()
						p.ask(WithBeforeRepeat(ctx, func(context.Context) { look(cancel) }))
					}()
					cancel(nil)
				}
				last := time.Now()
				up.set(ok)
				checkReply(t, p.ask(t.Context()), "")
				if waited := time.Since(last); waited > 6*time.Second || len(up.calls) != 6 {
					t.Errorf("the next call ended after %v, %d calls in all, want at most 6 s, 6", waited, len(up.calls))
				}
				if next := time.Until(p.keys.all[0].turns.next(time.Now())); next != 6*time.Second {
					t.Errorf("one more would begin in %v, want 6 s", next)
				}
				noneInUse(t, p.keys)
			})
		})
	}
}

// A turn that is taken late does not bring the next one closer.
func TestTurnsAreNeverCloser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(1, "a")
		k.succeeded(take(t, k, 0))
		if _, err := begin(ending(t, -59*time.Second), k, 0, nil); !errors.Is(err, ErrCancelled) {
			t.Fatalf("got %v", err)
		}
		_ = sleep(t.Context(), 50*time.Second) // the reserved turn has passed unused
		k.succeeded(take(t, k, 0))
		start := time.Now()
		k.succeeded(take(t, k, 0))
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("the next call waited %v, want a minute", waited)
		}
	})
}

// A call that waits for its turn while the breaker opens leaves its turn to
// others, and waits for the breaker.
func TestBreakerOpensWhileWaitingForATurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, func(c *config.Config) { c.KeysMaxPerMinute = 30 }, ok)
		checkReply(t, p.ask(t.Context()), "")
		done, start := make(chan Reply), time.Now()
		go func() { done <- p.ask(t.Context()) }()
		synctest.Wait()
		p.trip(t)
		synctest.Wait()
		_ = sleep(t.Context(), 2*time.Second+1)
		if wait := time.Until(p.keys.all[0].turns.next(time.Now())); wait != 0 {
			t.Errorf("the next turn is in %v, want now: nobody has taken it", wait)
		}
		if err := p.once(t.Context()); !errors.Is(err, circuitbreaker.ErrOpen) {
			t.Errorf("while the breaker is open: got %v", err)
		}
		re := <-done
		checkReply(t, re, "")
		if took := time.Since(start); took < breakerDelay || took > breakerDelay+2*probePolling || len(up.calls) != 2 {
			t.Errorf("got %d calls in %v, want 2, the second after the breaker's %v", len(up.calls), took, breakerDelay)
		}
		noneInUse(t, p.keys)
	})
}

// A turn that cannot come before the deadline is not waited for, however many
// are in line.
func TestTurnBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(10, "a", "b")
		for range 6 { // the last two of them begin after 6 s, and the next two would after 18 s
			go func() {
				if l, err := begin(t.Context(), k, 0, nil); err == nil {
					k.succeeded(l)
				}
			}()
		}
		synctest.Wait()
		var e *Error
		if _, err := begin(ending(t, 17*time.Second), k, time.Hour, nil); !errors.As(err, &e) || e.Code != events.RateLimited || e.Wait != 18*time.Second {
			t.Errorf("got %v, want rate_limited at once, for 18 s", err)
		}
		l, err := begin(ending(t, 18*time.Second+1), k, 0, nil)
		if err != nil {
			t.Fatalf("got %v, want the turn at 18 s", err)
		}
		k.succeeded(l)
	})
}
