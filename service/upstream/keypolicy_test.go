package upstream

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// KEYS_MAX_PER_MINUTE: in no minute are there more calls with one key, and
// those that must wait are spread evenly.
func TestKeysMaxPerMinute(t *testing.T) {
	t.Parallel()
	const rate = 10
	tests := map[string]struct {
		keys  int
		calls int
		gap   func(n int) time.Duration // from the arrival of the nth call to the next one's
	}{
		"all at once":         {1, 35, func(int) time.Duration { return 0 }},
		"all at once, 3 keys": {3, 100, func(int) time.Duration { return 0 }},
		"slower than allowed": {1, 30, func(int) time.Duration { return 7 * time.Second }},
		"a burst after a pause": {1, 30, func(n int) time.Duration {
			return map[int]time.Duration{0: 11990 * time.Millisecond, 1: 10 * time.Millisecond}[n] // a limiter with a grid of 6 s lets 11 through in 54 s
		}},
		"at random": {2, 200, func(int) time.Duration { return rand.N(6 * time.Second) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := testKeys(rate, []string{"a", "b", "c"}[:tt.keys]...)
				start, mu, wg := time.Now(), sync.Mutex{}, sync.WaitGroup{}
				began := map[string][]time.Time{}
				for n := range tt.calls {
					wg.Go(func() {
						l := take(t, k, 0) // the wait for a turn is no wait for a key
						mu.Lock()
						began[l.key.secret] = append(began[l.key.secret], time.Now())
						mu.Unlock()
						k.succeeded(l)
					})
					if gap := tt.gap(n); gap > 0 {
						_ = sleep(t.Context(), gap)
					}
				}
				wg.Wait()
				for key, at := range began {
					for i := rate; i < len(at); i++ {
						if in := at[i].Sub(at[i-rate]); in < time.Minute {
							t.Errorf("key %s: %d calls in %v (from %v on), want at most %d a minute", key, rate+1, in, at[i-rate].Sub(start), rate)
						}
					}
					if n := len(at); strings.HasPrefix(name, "all at once") && (n < tt.calls/tt.keys || at[n-1].Sub(at[0]) != time.Duration(n-1)*time.Minute/rate) {
						t.Errorf("key %s: %d calls in %v, want them all and 6 s apart", key, n, at[n-1].Sub(at[0]))
					}
				}
				noneInUse(t, k)
			})
		})
	}
}

func TestKeysTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(1, []string{"a", "b"}...)
		k.succeeded(take(t, k, 0))
		k.succeeded(take(t, k, 0))
		_ = sleep(t.Context(), 50*time.Second)
		// Both have to wait for 10 s. A deadline before that is in vain.
		var noKey *Error
		start := time.Now()
		if l, err := begin(ending(t, 9*time.Second), k, time.Hour, nil); !errors.As(err, &noKey) || time.Since(start) != 0 || noKey.Wait != 10*time.Second || noKey.Code != events.RateLimited {
			t.Errorf("turn after the deadline: got %v, %v after %v, want rate_limited at once, for 10 s", l, err, time.Since(start))
		}
		// Cancelled while it waits for its turn.
		if l, err := begin(ending(t, -5*time.Second), k, 0, nil); !errors.Is(err, ErrCancelled) || time.Since(start) != 5*time.Second {
			t.Errorf("cancelled: got %v, %v after %v, want %v after 5 s", l, err, time.Since(start), ErrCancelled)
		}
		// The key whose turn is sooner is taken, though it has more calls under way.
		k = testKeys(1, []string{"a", "b"}...)
		long := take(t, k, 0)
		_ = sleep(t.Context(), 50*time.Second)
		short := take(t, k, 0)
		k.succeeded(short)
		_ = sleep(t.Context(), 9*time.Second)
		start = time.Now()
		l := take(t, k, 0)
		if waited := time.Since(start); l.key != long.key || waited != time.Second {
			t.Errorf("got key %s after %v, want %s, whose turn it was after 1 s", l.key.secret, waited, long.key.secret)
		}
		k.succeeded(l)
		k.succeeded(long)
		// A key that is set aside while its turn is waited for is not used.
		k = testKeys(1, []string{"a"}...)
		first := take(t, k, 0)
		got := make(chan error)
		go func() {
			l, err := begin(t.Context(), k, time.Minute, nil)
			if err == nil {
				k.succeeded(l)
			}
			got <- err
		}()
		synctest.Wait()
		k.failed(first, noCredit())
		if err := <-got; !errors.As(err, &noKey) || noKey.Code != events.InsufficientCredits {
			t.Errorf("set aside while waiting: got %v, want insufficient_credits", err)
		}
		noneInUse(t, k)
	})
}

// RETRY_WAIT_MAX bounds all that a call waits for keys: one that begins to cool
// down while the call waits for its turn does not begin the wait anew.
func TestPatienceIsNotRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, func(c *config.Config) { c.KeysMaxPerMinute, c.RetryWaitMax = 6, 20*time.Second }, ok)
		first := take(t, p.keys, 0)
		done := make(chan Reply)
		go func() { done <- p.ask(t.Context()) }()
		_ = sleep(t.Context(), 9*time.Second)
		p.keys.failed(first, asks(tooMany(), 15*time.Second)) // its turn comes after 10 s, and the key after 24 s
		checkReply(t, <-done, events.RateLimited)
		if len(up.calls) != 0 {
			t.Errorf("calls: got %d, want none", len(up.calls))
		}
	})
}
