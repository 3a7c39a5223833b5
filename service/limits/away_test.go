package limits

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While nobody answers each replica goes on with the share that it had. The log says it
// once, and that it is over.
func TestOnWithTheLastShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate, replicas = 600, 4
		var c counters
		var r record
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
		defer cancel()
		began := time.Now()
		var waits []func()
		var all []*events
		log := &said{Handler: discarding()}
		for range replicas {
			g, e := c.replica(0, true, log)
			l := g.requests("a", rate)
			all = append(all, e)
			waits = append(waits, callers(ctx, 8, &r, func() Ask { return Ask{Wants: []Want{{l, 1}}, Within: time.Hour} }), g.Close)
		}
		_ = sleep(ctx, 3*time.Minute)
		why := errAway
		c.away.Store(&why)
		_ = sleep(ctx, 2*time.Minute)
		c.away.Store(nil)
		for _, wait := range waits {
			wait()
		}
		if worst := r.worst(); worst > rate {
			t.Errorf("%d calls in a minute, the limit is %d", worst, rate)
		}
		for minute := range 8 {
			from := began.Add(time.Duration(minute) * time.Minute)
			least := int64(rate * 95 / 100)
			if minute == 3 || minute == 4 { // each share is what its replica was admitted in the minute before, in whole calls a window
				least = rate * 90 / 100
			}
			if n := r.between(from, from.Add(time.Minute)); n < least {
				t.Errorf("%d calls in minute %d, want %d of %d", n, minute, least, rate)
			}
		}
		if away, back := log.count("WARN limits cannot be counted"), log.count("INFO limits are counted"); away != replicas || back != replicas {
			t.Errorf("%d replicas say that the counters are away and %d that they are back, want %d", away, back, replicas)
		}
		if reached := log.count("INFO a limit is reached"); reached < replicas || reached > 8*replicas {
			t.Errorf("%d lines in 8 minutes that the limit is reached, want one a minute at most", reached)
		}
		for _, e := range all {
			if e.unanswered.Load() < failuresToLeave {
				t.Errorf("%d increments without an answer", e.unanswered.Load())
			}
		}
	})
}

// A replica that never had a share has one call a minute, and not none.
func TestAtLeastOneCallAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		why := errAway
		c.away.Store(&why)
		var r record
		g, _ := c.replica(0, true, discarding())
		l := g.requests("a", 600)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		callers(ctx, 3, &r, func() Ask { return Ask{Wants: []Want{{l, 1}}, Within: time.Hour} })()
		g.Close()
		if n := len(r.times); n < 9 || n > 11 {
			t.Errorf("%d calls in 10 minutes, want one a minute", n)
		}
	})
}

// Without shared counters each process has the whole limit, from the first call on.
func TestWithoutSharedCounters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		why := ErrNotShared
		c.away.Store(&why)
		var r record
		log := &said{Handler: discarding()}
		g, e := c.replica(0, true, log)
		l := g.requests("a", 37)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		callers(ctx, 3, &r, func() Ask { return Ask{Wants: []Want{{l, 1}}, Within: time.Hour} })()
		g.Close()
		if n, worst := len(r.times), r.worst(); n < 37*20*97/100 || worst > 37 {
			t.Errorf("%d calls in 20 minutes, %d in the worst", n, worst)
		}
		if log.count("WARN") != 0 || e.unanswered.Load() != 0 {
			t.Error("it is reported as if nobody answered: whoever has no counters says so")
		}
	})
}

// One increment without an answer costs its window, and nothing else.
func TestOneAnswerIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counters
		log := &said{Handler: discarding()}
		g, _ := c.replica(0, true, log)
		defer g.Close()
		l := g.requests("a", 1200)
		why := errAway
		c.away.Store(&why)
		got := make(chan error)
		go func() { got <- Ask{Wants: []Want{{l, 1}}, Within: time.Hour}.Acquire(t.Context()) }()
		synctest.Wait()
		c.away.Store(nil)
		began := time.Now()
		if err := <-got; err != nil || time.Since(began) > window+2*stagger {
			t.Errorf("got %v after %v, want the next window", err, time.Since(began))
		}
		if log.count("WARN") != 0 {
			t.Error("one lost answer is taken for an outage")
		}
	})
}
