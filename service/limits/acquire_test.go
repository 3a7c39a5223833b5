package limits

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// Several limits at once, of different sizes: none is exceeded, and the smallest is used.
// Two small ones that are no multiple of each other open together now and then only.
func TestSeveralLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rates [3]int64
		used  int64 // of the least, in percent
	}{
		"large": {[3]int64{600, 2000, 700}, 97}, "one small": {[3]int64{37, 600, 2000}, 97}, "one alone": {[3]int64{7, 2_000_000, 1_000_000}, 97},
		"two small": {[3]int64{10, 20, 600}, 97}, "two that seldom meet": {[3]int64{7, 11, 600}, 25},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const lasts = 10 * time.Minute
				var c counters
				var r record
				ctx, cancel := context.WithTimeout(t.Context(), lasts)
				defer cancel()
				var waits []func()
				for range 3 {
					g, _ := c.replica(0, true, discarding())
					one, other, third := g.requests("a", tt.rates[0]), g.requests("b", tt.rates[1]), g.requests("c", tt.rates[2])
					waits = append(waits, callers(ctx, 10, &r, func() Ask {
						return Ask{Wants: []Want{{one, 1}, {other, 1}, {third, 1}}, Within: time.Hour}
					}), g.Close)
				}
				for _, wait := range waits {
					wait()
				}
				least := min(tt.rates[0], tt.rates[1], tt.rates[2])
				if worst := r.worst(); worst > least {
					t.Errorf("%d calls in a minute, the least limit is %d", worst, least)
				}
				if n := int64(len(r.times)); n*100 < least*10*tt.used {
					t.Errorf("%d calls in %v, the least limit is %d a minute", n, lasts, least)
				}
			})
		})
	}
}

// Whoever ends while it waits leaves its permit to others, and so does whoever is not
// ready when its turn has come.
func TestPermitsOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		g, e := c.replica(0, true, discarding())
		defer g.Close()
		l := g.requests("a", 10)
		ask := Ask{Wants: []Want{{l, 1}}, Within: time.Hour}
		ctx, cancel := context.WithCancelCause(t.Context())
		var all sync.WaitGroup
		gone := errors.New("cancelled")
		for range 100 {
			all.Go(func() {
				if err := ask.Acquire(ctx); !errors.Is(err, gone) {
					t.Errorf("got %v, want %v", err, gone)
				}
			})
		}
		synctest.Wait()
		cancel(gone)
		all.Wait()
		if l.queued != 0 || e.waited.Load() != 100 {
			t.Errorf("%d wait, %d have waited", l.queued, e.waited.Load())
		}
		broken, tried := errors.New("not ready"), 0
		notReady := ask
		notReady.Ready = func() error { tried++; return broken }
		for range 3 {
			if err := notReady.Acquire(t.Context()); !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
		}
		if err := ask.Acquire(t.Context()); err != nil || tried != 3 {
			t.Errorf("got %v after %d tries", err, tried)
		}
		if wait := l.Wait(); wait < 5*time.Second {
			t.Errorf("the next one waits %v, want 6 s", wait)
		}
	})
}

// Who would have to wait for longer than it may is sent away at once, and those that are
// sent away come back one after the other.
func TestSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		g, _ := c.replica(0, true, discarding())
		defer g.Close()
		l := g.requests("a", 60)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { _ = Ask{Wants: []Want{{l, 1}}, Within: time.Hour}.Acquire(t.Context()) })
		}
		synctest.Wait()
		began := time.Now()
		var last time.Duration
		for i := range 100 {
			var e *ExceededError
			err := Ask{Wants: []Want{{l, 1}}, Within: 10 * time.Second}.Acquire(t.Context())
			if !errors.As(err, &e) || !errors.Is(err, ratelimiter.ErrExceeded) || e.Limit.Of != "a" {
				t.Fatalf("got %v", err)
			}
			if least := time.Duration(19+i) * time.Second; e.Wait < least || e.Wait > least+4*time.Second || e.Wait+time.Second < last {
				t.Errorf("call %d comes back in %v, want some %v", i, e.Wait, least)
			}
			last = e.Wait
		}
		if time.Since(began) != 0 {
			t.Error("they have waited")
		}
		all.Wait()
	})
}

// What is asked for is what the window and the next two admit, less those that wait.
func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		g, _ := c.replica(0, true, discarding())
		defer g.Close()
		l := g.requests("a", 1220)
		if n, again := l.Room(time.Minute); n != 30 || again != 0 {
			t.Errorf("%d, %v at first, want 30", n, again)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { _ = Ask{Wants: []Want{{l, 1}}, Within: time.Hour}.Acquire(ctx) })
		}
		synctest.Wait()
		if n, again := l.Room(time.Minute); n != 0 || again < 3*time.Second || again > 5*time.Second {
			t.Errorf("%d, %v behind 100 calls, want none for 4 s", n, again)
		}
		cancel()
		all.Wait()
		l.SetRate(122)
		_ = sleep(t.Context(), 5*time.Second)
		if n, _ := l.Room(time.Minute); n != 3 {
			t.Errorf("%d after the limit was changed, want 3", n)
		}
	})
}

// In an executor of failsafe-go it does what its standalone use does.
func TestPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		g, _ := c.replica(0, true, discarding())
		defer g.Close()
		l := g.requests("a", 1)
		executor := failsafe.With(NewPolicy[int](func(context.Context) Ask { return Ask{Wants: []Want{{l, 1}}, Within: time.Second} }))
		ran := 0
		run := func(ctx context.Context) error {
			_, err := executor.WithContext(ctx).Get(func() (int, error) { ran++; return 1, nil })
			return err
		}
		_ = sleep(t.Context(), l.Wait())
		if err := run(t.Context()); err != nil || ran != 1 {
			t.Errorf("got %v, ran %d times", err, ran)
		}
		if err := run(t.Context()); !errors.Is(err, ratelimiter.ErrExceeded) || ran != 1 {
			t.Errorf("got %v, ran %d times, want it refused", err, ran)
		}
	})
}
