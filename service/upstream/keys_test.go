package upstream

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
)

// The tests of this file run in bubbles, where time passes only when everybody
// waits.

const (
	cooldown = time.Minute
	restMax  = 10 * time.Minute
)

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
		"nothing happened":                {nil, 0, ""},
		"success":                         {[]*Error{ok}, 0, ""},
		"fault of the provider":           {[]*Error{broken, broken, broken}, 0, ""},
		"its Retry-After is no cool-down": {[]*Error{asks(broken, time.Hour)}, 0, ""},
		"429 with Retry-After":            {[]*Error{asks(tooMany(), 7*time.Second)}, 7 * time.Second, events.RateLimited},
		"429 without":                     {[]*Error{tooMany()}, cooldown, events.RateLimited},
		"the longest cool-down counts":    {[]*Error{asks(tooMany(), 2*time.Minute), asks(tooMany(), time.Second)}, 2 * time.Minute, events.RateLimited},
		"a longer cool-down replaces":     {[]*Error{asks(tooMany(), time.Second), noCredit()}, spentCooldown, events.InsufficientCredits},
		"401 once":                        {[]*Error{forbidden()}, 0, ""},
		"401 twice":                       {[]*Error{forbidden(), forbidden()}, refusedCooldown, events.Unauthorized},
		"success between two 401":         {[]*Error{forbidden(), ok, forbidden()}, 0, ""},
		"failure between two 401":         {[]*Error{forbidden(), broken, forbidden()}, refusedCooldown, events.Unauthorized}, // says nothing about the key
		"402 or a key limit":              {[]*Error{noCredit()}, spentCooldown, events.InsufficientCredits},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := testKeys(0, []string{"a"}...)
				var under []*lease
				for range tt.ends {
					under = append(under, take(t, k, 0)) // all at once, for a key that cools down is not given out
				}
				for i, end := range tt.ends {
					if end == ok {
						k.succeeded(under[i])
					} else {
						k.failed(under[i], end)
					}
				}
				if cools, code := k.cooling(); cools != tt.want || code != tt.code {
					t.Errorf("%+v:\n got a cool-down of %v for %q\nwant %v for %q", tt.ends, cools, code, tt.want, tt.code)
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
				probing := tt.code == events.Unauthorized || tt.code == events.InsufficientCredits
				if states := k.states(); (states["usable"] == 0) != probing {
					t.Errorf("states after the cool-down, before it has worked again: got %v, want usable: %v", states, !probing)
				}
				k.succeeded(l)
				if states := k.states(); states["usable"] != 1 {
					t.Errorf("states after it has worked again: got %v, want usable", states)
				}
				if waited := time.Since(start); waited != tt.want {
					t.Errorf("waited %v for the key, want its whole cool-down of %v", waited, tt.want)
				}
				if cools, code := k.cooling(); cools != 0 || code != "" {
					t.Errorf("after the cool-down: got %v, %q, want none", cools, code)
				}
			})
		})
	}
}

func TestKeysWait(t *testing.T) {
	t.Parallel()
	cooling := func(t *testing.T) *keys {
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
		"for the first to cool":      {30 * time.Second, 0, 30 * time.Second, nil},
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
				k, start := cooling(t), time.Now()
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
