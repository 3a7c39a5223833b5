package upstream

import (
	"context"
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

// The tests of this file run in bubbles, where time passes only when everybody
// waits.

const cooldown = time.Minute

func tooMany() *Error   { return &Error{Code: events.RateLimited, key: keyLimited} }
func forbidden() *Error { return &Error{Code: events.Unauthorized, key: keyRefused} }
func noCredit() *Error  { return &Error{Code: events.InsufficientCredits, key: keySpent} }

func TestKeysTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys(0, []string{"a", "b", "c"}...)
		use := func(want string) *lease {
			t.Helper()
			l := take(t, k, 0)
			if !strings.Contains(want, l.key.secret) {
				t.Errorf("got key %s, want one of %s", l.key.secret, want)
			}
			return l
		}
		// Equals take turns, also when each call has ended before the next.
		seen := ""
		for range 6 {
			l := use("abc")
			k.succeeded(l)
			seen += l.key.secret
		}
		if seen != "abcabc" {
			t.Errorf("calls one after the other: got keys %s, want abcabc", seen)
		}
		// The one with the fewest calls under way is next, whose turn it is or not.
		a, b, c := use("abc"), use("abc"), use("abc")
		k.succeeded(b)
		b = use(b.key.secret)
		k.succeeded(c)
		use(c.key.secret)
		k.succeeded(a)
		use(a.key.secret)
		// One to be avoided is only taken if another has more calls under way ...
		k.succeeded(b)
		l := take(t, k, 0)
		if l.key != b.key {
			t.Errorf("got %s, want %s, which has no calls under way", l.key.secret, b.key.secret)
		}
		// ... or not even then: another may work, this one has just refused.
		k.succeeded(l)
		if l, err := begin(t.Context(), k, 0, b.key); err != nil || l.key == b.key {
			t.Errorf("avoiding %s: got %v, %v", b.key.secret, l, err)
		}
	})
}

// How long a key is left alone after its calls have ended in these ways.
func TestKeysRest(t *testing.T) {
	t.Parallel()
	ok, broken := (*Error)(nil), &Error{Code: events.UpstreamUnavailable, health: healthBad}
	tests := map[string]struct {
		ends []*Error
		want time.Duration
		code events.Code
	}{
		"nothing happened":           {nil, 0, ""},
		"success":                    {[]*Error{ok}, 0, ""},
		"fault of the provider":      {[]*Error{broken, broken, broken}, 0, ""},
		"its Retry-After is no rest": {[]*Error{asks(broken, time.Hour)}, 0, ""},
		"429 with Retry-After":       {[]*Error{asks(tooMany(), 7*time.Second)}, 7 * time.Second, events.RateLimited},
		"429 without":                {[]*Error{tooMany()}, cooldown, events.RateLimited},
		"the longest rest counts":    {[]*Error{asks(tooMany(), 2*time.Minute), asks(tooMany(), time.Second)}, 2 * time.Minute, events.RateLimited},
		"a longer rest replaces":     {[]*Error{asks(tooMany(), time.Second), noCredit()}, spentCooldown, events.InsufficientCredits},
		"401 once":                   {[]*Error{forbidden()}, 0, ""},
		"401 twice":                  {[]*Error{forbidden(), forbidden()}, refusedCooldown, events.Unauthorized},
		"success between two 401":    {[]*Error{forbidden(), ok, forbidden()}, 0, ""},
		"failure between two 401":    {[]*Error{forbidden(), broken, forbidden()}, refusedCooldown, events.Unauthorized}, // says nothing about the key
		"402 or a key limit":         {[]*Error{noCredit()}, spentCooldown, events.InsufficientCredits},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := testKeys(0, []string{"a"}...)
				var under []*lease
				for range tt.ends {
					under = append(under, take(t, k, 0)) // all at once, for a key that rests is not given out
				}
				for i, end := range tt.ends {
					if end == ok {
						k.succeeded(under[i])
					} else {
						k.failed(under[i], end)
					}
				}
				if rest, code := k.cooling(); rest != tt.want || code != tt.code {
					t.Errorf("%+v:\n got a rest of %v for %q\nwant %v for %q", tt.ends, rest, code, tt.want, tt.code)
				}
				state := "usable"
				if tt.code != "" {
					state = string(tt.code)
				}
				if states := k.states(); states[state] != 1 {
					t.Errorf("states: got %v, want one key that is %s", states, state)
				}
				start := time.Now()
				l := take(t, k, time.Hour)
				doubted := tt.code == events.Unauthorized || tt.code == events.InsufficientCredits
				if states := k.states(); (states["usable"] == 0) != doubted {
					t.Errorf("states after the rest, before it has worked again: got %v, want usable: %v", states, !doubted)
				}
				k.succeeded(l)
				if states := k.states(); states["usable"] != 1 {
					t.Errorf("states after it has worked again: got %v, want usable", states)
				}
				if waited := time.Since(start); waited != tt.want {
					t.Errorf("waited %v for the key, want its whole rest of %v", waited, tt.want)
				}
				if rest, code := k.cooling(); rest != 0 || code != "" {
					t.Errorf("after the rest: got %v, %q, want none", rest, code)
				}
			})
		})
	}
}

func TestKeysWait(t *testing.T) {
	t.Parallel()
	resting := func(t *testing.T) *keys {
		t.Helper()
		k := testKeys(0, []string{"a", "b"}...)
		a, b := take(t, k, 0), take(t, k, 0)
		k.failed(a, asks(tooMany(), 30*time.Second))
		k.failed(b, noCredit())
		return k
	}
	tests := map[string]struct {
		give     time.Duration
		deadline time.Duration // of the context, and its cancellation if negative
		waited   time.Duration
		err      error // nil for a key
	}{
		"for the first to rest":      {30 * time.Second, 0, 30 * time.Second, nil},
		"not a moment too long":      {30*time.Second - 1, 0, 0, &Error{}},
		"not at all":                 {0, 0, 0, &Error{}},
		"cancelled meanwhile":        {time.Minute, -10 * time.Second, 10 * time.Second, ErrCancelled},
		"deadline meanwhile":         {time.Minute, 10 * time.Second, 10 * time.Second, ErrDeadline},
		"too long, deadline or none": {20 * time.Second, 10 * time.Second, 0, &Error{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k, start := resting(t), time.Now()
				l, err := begin(ending(t, tt.deadline), k, tt.give, nil)
				if waited := time.Since(start); waited != tt.waited {
					t.Errorf("waited %v, want %v", waited, tt.waited)
				}
				var noKey *Error
				switch {
				case tt.err == nil:
					if err != nil || l.key.secret != "a" {
						t.Errorf("got %v, %v, want key a", l, err)
					}
					k.succeeded(l)
				case errors.As(tt.err, &noKey):
					if !errors.As(err, &noKey) || noKey.Code != events.RateLimited || noKey.Wait != 30*time.Second || noKey.Heals != Later {
						t.Fatalf("got %v, %+v, want rate_limited, which heals later, in 30 s", l, err)
					}
				case !errors.Is(err, tt.err):
					t.Errorf("got %v, %v, want %v", l, err, tt.err)
				}
				noneInUse(t, k)
			})
		})
	}
}

// A key that was set aside is tried again with one call, not with all that
// waited for it.
func TestKeysProbe(t *testing.T) {
	t.Parallel()
	setAside := func(t *testing.T) *keys {
		t.Helper()
		k := testKeys(0, []string{"a"}...)
		k.failed(take(t, k, 0), noCredit())
		return k
	}
	refused := func(t *testing.T) *keys {
		t.Helper()
		k := testKeys(0, []string{"a"}...)
		for range refusals {
			k.failed(take(t, k, 0), forbidden())
		}
		return k
	}
	// calls makes ten calls that wait for the key; each ends after a second as
	// end says. It returns when each of the calls that got the key began.
	calls := func(t *testing.T, k *keys, end func(l *lease)) (began []time.Duration) {
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
	t.Run("it works", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := setAside(t)
			got := calls(t, k, func(l *lease) { k.succeeded(l) })
			if len(got) != 10 || got[0] != spentCooldown || got[1] < got[0]+time.Second || got[9] > got[0]+time.Second+probePolling {
				t.Errorf("calls began after %v, want one after %v, and the others when it had ended, a second later", got, spentCooldown)
			}
		})
	})
	t.Run("it is still refused", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := refused(t)
			got := calls(t, k, func(l *lease) { k.failed(l, forbidden()) })
			for i, began := range got { // one a minute: each refusal sets it aside again
				if want := time.Duration(i+1) * refusedCooldown; began < want || began > want+10*time.Second {
					t.Errorf("calls began after %v, want one after each rest of %v", got, refusedCooldown)
				}
			}
			if rest, code := k.cooling(); rest <= 0 || code != events.Unauthorized {
				t.Errorf("got a rest of %v for %q, want some for unauthorized", rest, code)
			}
		})
	})
	t.Run("it is still spent", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := setAside(t)
			got := calls(t, k, func(l *lease) { k.failed(l, noCredit()) })
			if len(got) != 1 || got[0] != spentCooldown {
				t.Errorf("calls began after %v, want only one, after %v", got, spentCooldown)
			}
			if rest, code := k.cooling(); rest < spentCooldown-time.Second || code != events.InsufficientCredits {
				t.Errorf("got a rest of %v for %q, want about %v", rest, code, spentCooldown)
			}
		})
	})
	t.Run("a probe that tells nothing is followed by another", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := setAside(t)
			got := calls(t, k, func(l *lease) { k.failed(l, &Error{Code: events.UpstreamTimeout, health: healthBad}) })
			for i := range got[1:] {
				if got[i+1] < got[i]+time.Second {
					t.Errorf("calls began after %v, want one at a time", got)
				}
			}
			if len(got) != 10 {
				t.Errorf("calls began after %v, want all ten", got)
			}
			if rest, _ := k.cooling(); rest != 0 {
				t.Errorf("got a rest of %v, want none: the next call is the next probe", rest)
			}
		})
	})
	t.Run("the first piece of its answer is enough", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := setAside(t)
			_ = sleep(t.Context(), spentCooldown)
			probe := take(t, k, 0)
			if rest, code := k.cooling(); rest <= 0 || code != events.InsufficientCredits {
				t.Errorf("while it is tried: got a rest of %v for %q, want some", rest, code)
			}
			if l, err := begin(t.Context(), k, 0, nil); err == nil {
				t.Errorf("while it is tried: got %v, want an error", l)
			}
			k.works(probe)
			k.succeeded(take(t, k, 0))
			k.succeeded(probe)
			noneInUse(t, k)
		})
	})
	t.Run("an older call's success proves nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			k := testKeys(0, []string{"a"}...)
			older := take(t, k, 0)
			k.failed(take(t, k, 0), noCredit())
			_ = sleep(t.Context(), spentCooldown)
			probe := take(t, k, 0)
			k.succeeded(older)
			if rest, _ := k.cooling(); rest == 0 {
				t.Error("a call that began before the key was set aside ended its probe")
			}
			k.succeeded(probe)
			noneInUse(t, k)
		})
	})
}

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

// testKeys is a pool of keys, with a limit of calls a minute; 0: none.
func testKeys(perMinute int, secrets ...string) *keys {
	return newKeys(config.OpenRouter{APIKeys: secrets, KeysMaxPerMinute: perMinute, KeysCooldownSeconds: int(cooldown / time.Second), CallTimeout: callTime})
}

// begin waits for a key and for its turn, as an attempt does.
func begin(ctx context.Context, k *keys, wait time.Duration, avoid *apiKey) (*lease, error) {
	for {
		l, err := k.acquire(ctx, wait, avoid)
		if err != nil {
			return nil, err
		}
		err = l.key.turns.take(ctx, func() error {
			if !k.usable(l) {
				return errKeyUnusable
			}
			return nil
		})
		if err == nil {
			return l, nil
		}
		k.release(l)
		if !errors.Is(err, errKeyUnusable) {
			return nil, err
		}
	}
}

func take(t *testing.T, k *keys, wait time.Duration) *lease {
	t.Helper()
	l, err := begin(t.Context(), k, wait, nil)
	if err != nil {
		t.Fatalf("no key within %v: %v", wait, err)
	}
	return l
}

// ending is a context with a deadline, or one that is cancelled after a
// negative time, or neither.
func ending(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	switch {
	case after < 0:
		timer := time.AfterFunc(-after, func() { cancel(ErrCancelled) })
		t.Cleanup(func() { timer.Stop() })
	case after > 0:
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, after, ErrDeadline)
		t.Cleanup(stop)
	}
	return ctx
}

func noneInUse(t *testing.T, k *keys) {
	t.Helper()
	for _, key := range k.all {
		if key.inFlight != 0 || key.probe != nil {
			t.Errorf("key %s: %d calls under way, probe %v, want none", key.secret, key.inFlight, key.probe)
		}
	}
}
