package upstream

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
)

// A key that was set aside is tried again with one call, not with all that
// waited for it: the tests of this file.

// spentKey is a pool of one key, set aside for want of credit.
func spentKey(t *testing.T) *keys {
	t.Helper()
	k := testKeys(0, "a")
	k.failed(take(t, k, 0), noCredit())
	return k
}

// refusedKey is a pool of one key, set aside because it is not accepted.
func refusedKey(t *testing.T) *keys {
	t.Helper()
	k := testKeys(0, "a")
	for range refusals {
		k.failed(take(t, k, 0), forbidden())
	}
	return k
}

// tenCalls makes ten calls that wait for the key; each ends after a second as end
// says. It returns when each of the calls that got the key began.
func tenCalls(t *testing.T, k *keys, end func(l *lease)) (began []time.Duration) {
	t.Helper()
	start, mu, wg := time.Now(), sync.Mutex{}, sync.WaitGroup{}
	for range 10 {
		wg.Go(func() {
			l, err := begin(t.Context(), k, spentCooldown+time.Minute, nil)
			if err != nil {
				return
			}
			mu.Lock()
			began = append(began, time.Since(start))
			mu.Unlock()
			_ = sleep(t.Context(), time.Second)
			end(l)
		})
	}
	wg.Wait()
	noneInUse(t, k)
	return began
}

func TestProbeWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := spentKey(t)
		got := tenCalls(t, k, func(l *lease) { k.succeeded(l) })
		if len(got) != 10 || got[0] != spentCooldown || got[1] < got[0]+time.Second || got[9] > got[0]+time.Second+probePolling {
			t.Errorf("calls began after %v, want one after %v, and the others when it had ended, a second later", got, spentCooldown)
		}
	})
}

func TestProbeIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := refusedKey(t)
		got := tenCalls(t, k, func(l *lease) { k.failed(l, forbidden()) })
		for i, began := range got { // one a minute: each refusal sets it aside again
			if want := time.Duration(i+1) * refusedCooldown; began < want || began > want+10*time.Second {
				t.Errorf("calls began after %v, want one after each cool-down of %v", got, refusedCooldown)
			}
		}
		if cools, code := k.cooling(); cools <= 0 || code != events.Unauthorized {
			t.Errorf("got a cool-down of %v for %q, want some for unauthorized", cools, code)
		}
	})
}

func TestProbeIsSpent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := spentKey(t)
		got := tenCalls(t, k, func(l *lease) { k.failed(l, noCredit()) })
		if len(got) != 1 || got[0] != spentCooldown {
			t.Errorf("calls began after %v, want only one, after %v", got, spentCooldown)
		}
		if cools, code := k.cooling(); cools < spentCooldown-time.Second || code != events.InsufficientCredits {
			t.Errorf("got a cool-down of %v for %q, want about %v", cools, code, spentCooldown)
		}
	})
}

// A probe that tells nothing about the key is followed by another.
func TestProbeTellsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := spentKey(t)
		got := tenCalls(t, k, func(l *lease) { k.failed(l, &Error{Code: events.UpstreamTimeout, health: healthBad}) })
		for i := range got[1:] {
			if got[i+1] < got[i]+time.Second {
				t.Errorf("calls began after %v, want one at a time", got)
			}
		}
		if len(got) != 10 {
			t.Errorf("calls began after %v, want all ten", got)
		}
		if cools, _ := k.cooling(); cools != 0 {
			t.Errorf("got a cool-down of %v, want none: the next call is the next probe", cools)
		}
	})
}

// The first piece of a probe's answer is enough.
func TestProbeEndsWithTheFirstPiece(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := spentKey(t)
		_ = sleep(t.Context(), spentCooldown)
		probe := take(t, k, 0)
		if cools, code := k.cooling(); cools <= 0 || code != events.InsufficientCredits {
			t.Errorf("while it is tried: got a cool-down of %v for %q, want some", cools, code)
		}
		if l, err := begin(t.Context(), k, 0, nil); err == nil {
			t.Errorf("while it is tried: got %v, want an error", l)
		}
		k.works(probe)
		k.succeeded(take(t, k, 0))
		k.succeeded(probe)
		noneInUse(t, k)
	})
}

// A call that began before the key was set aside proves nothing by its success.
func TestProbeAndAnOlderCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(0, "a")
		older := take(t, k, 0)
		k.failed(take(t, k, 0), noCredit())
		_ = sleep(t.Context(), spentCooldown)
		probe := take(t, k, 0)
		k.succeeded(older)
		if cools, _ := k.cooling(); cools == 0 {
			t.Error("a call that began before the key was set aside ended its probe")
		}
		k.succeeded(probe)
		noneInUse(t, k)
	})
}
