package upstream

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
)

// answers makes calls as the service does, and returns a function that waits for
// them.
func (p testCaller) answers(t *testing.T, n int) (wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { _ = p.Answer(t.Context(), &events.Request{Model: "google/m", Prompt: "Why?"}, ignore) })
	}
	return wg.Wait
}

// While OpenRouter is tried with a few calls, no more requests are taken than these
// calls are; what was taken and has not begun its call counts, what began before the
// outage does not.
func TestLimitWhileHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, slow(40*time.Second, ok))
		limit := func(taken, want int, when string) {
			t.Helper()
			synctest.Wait()
			if got := p.Limit(taken); max(0, got) != want {
				t.Errorf("%s: with %d taken got %d, want %d", when, taken, got, want)
			}
		}
		limit(10, math.MaxInt, "at first")
		old := p.answers(t, 10)
		limit(10, math.MaxInt, "with calls under way")
		p.trip(t)
		_ = sleep(t.Context(), breakerDelay)
		limit(10, probes, "when probes are due, and the calls go on")
		limit(12, probes-2, "with two more that have not begun")
		up.set(slow(20*time.Second, ok))
		begun := p.answers(t, 2)
		limit(12, probes-2, "with two probes")
		waiting := p.answers(t, 3)
		limit(15, 0, "with two more than there are probes")
		begun()
		limit(13, math.MaxInt, "when the probes have worked")
		waiting()
		old()
		if p.waiting.Load() != 0 || p.answering.Load() != 0 {
			t.Errorf("at the end: %d wait, %d answer, want none", p.waiting.Load(), p.answering.Load())
		}
	})
}

// A call between two attempts will come back as a probe, but takes no place of one.
func TestLimitBetweenAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, nil, after(503, 19), ok)
		wait := p.answers(t, 1)
		synctest.Wait()
		p.trip(t)
		_ = sleep(t.Context(), breakerDelay)
		if got := p.Limit(1); got != probes {
			t.Errorf("got %d, want %d", got, probes)
		}
		wait()
		if len(up.calls) != 2 {
			t.Errorf("got %d calls, want 2", len(up.calls))
		}
	})
}

// The same for the probe of the only key that there is.
func TestLimitWhileAKeyIsProbed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, nil, trickle(10*time.Second, 10*time.Second))
		p.keys.failed(take(t, p.keys, 0), noCredit())
		_ = sleep(t.Context(), spentCooldown)
		if got := p.Limit(0); got != 1 {
			t.Errorf("when the probe is due: got %d, want 1", got)
		}
		wait := p.answers(t, 1)
		synctest.Wait()
		if got := p.Limit(1); got != 0 {
			t.Errorf("while the key is probed: got %d, want none", got)
		}
		_ = sleep(t.Context(), 11*time.Second)
		if got := p.Limit(1); got != math.MaxInt {
			t.Errorf("when the answer has begun: got %d, want no limit", got)
		}
		wait()
	})
}
