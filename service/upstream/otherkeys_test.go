package upstream

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
)

// byKey reacts by the key of a call, and counts the calls of each.
type byKey struct {
	mu    sync.Mutex
	says  map[string]reaction
	calls map[string]int
}

func (k *byKey) react(r *http.Request) (*http.Response, error) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	k.mu.Lock()
	if k.calls == nil {
		k.calls = map[string]int{}
	}
	k.calls[key]++
	react := k.says[key]
	k.mu.Unlock()
	return react(r)
}

func (k *byKey) count(key string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls[key]
}

// newPool is a caller with two keys, of which x/a is told apart.
func newPool(t *testing.T, a, b reaction) (testCaller, *byKey, func() string) {
	t.Helper()
	m, k := &modelRouter{}, &byKey{says: map[string]reaction{"key-a": a, "key-b": b}}
	m.tell("x/a", k.react)
	p, log := newLoggedCaller(t, m.react)
	return p, k, log.String
}

// What OpenRouter says of a model to one key may be about that key's account: another key
// is asked before the model is retired, and where it answers, the first one is left alone
// for that model, whether or not another model could answer.
func TestOneKeyHasNoEndpoint(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]reaction{
		"404":          noEndpoints("x/a"),
		"no_endpoints": says(404, "x/a: no", `,"availability":{"code":"no_endpoints"}`),
	} {
		for _, fallbacks := range [][]string{nil, {"x/a", "x/b"}} {
			t.Run(name+strings.Join(fallbacks, ","), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p, k, log := newPool(t, slow(time.Second, refusal), slow(time.Second, from("x/a")))
					ask := func() {
						t.Helper()
						re := p.askFor(t.Context(), "x/a", fallbacks...)
						checkReply(t, re, "")
						if re.Answer != nil && re.Answer.Requested != "" {
							t.Error("another model answered")
						}
					}
					for range 6 {
						ask()
					}
					if k.count("key-a") != 1 || k.count("key-b") != 6 || len(p.retired.list()) != 0 {
						t.Errorf("calls: %v, retired: %v; want the first key asked once, and none", k.calls, p.retired.list())
					}
					if text := log(); strings.Count(text, "WARN") != 1 || !strings.Contains(text, "no endpoint of the model for an API key") || strings.Contains(text, "model is gone") {
						t.Errorf("want one warning of the key:\n%s", text)
					}
					checkReply(t, p.askFor(t.Context(), "x/c"), "") // with any key
					_ = sleep(t.Context(), retiredFor)
					k.says["key-a"] = from("x/a")
					for range 4 {
						ask()
					}
					if k.count("key-a") < 2 {
						t.Error("the first key is never asked again")
					}
					noneInUse(t, p.keys)
				})
			})
		}
	}
}

// While one call asks another key, those without another model do so too: none fails.
// The others are answered by their next model, and make no call in vain meanwhile.
func TestOneKeyHasNoEndpointForMany(t *testing.T) {
	t.Parallel()
	for _, fallbacks := range [][]string{nil, {"x/a", "x/b"}} {
		synctest.Test(t, func(t *testing.T) {
			const slots = 20
			p, k, _ := newPool(t, slow(time.Second, noEndpoints("x/a")), slow(time.Second, from("x/a")))
			var all sync.WaitGroup
			for range slots {
				all.Go(func() {
					for range 5 {
						checkReply(t, p.askFor(t.Context(), "x/a", fallbacks...), "")
					}
				})
			}
			all.Wait()
			if n := k.count("key-a"); n > slots || len(p.retired.list()) != 0 {
				t.Errorf("%d calls with the first key, retired: %v; want no more than %d, and none", n, p.retired.list(), slots)
			}
		})
	}
}

// A model that is gone for every key that is asked is retired with one warning. What names
// the model as gone is believed at once.
func TestEveryKeyHasNoEndpoint(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says reaction
		vain int
	}{
		"404":  {noEndpoints("x/a"), 2},
		"400":  {says(400, "x/a is not a valid model ID", ""), 1},
		"code": {says(404, "x/a is deprecated", `,"availability":{"code":"model_deprecated"}`), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, k, log := newPool(t, tt.says, tt.says)
				for range 3 {
					checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
				}
				if n := k.count("key-a") + k.count("key-b"); n != tt.vain || len(p.retired.list()) != 1 || strings.Count(log(), "WARN") != 1 {
					t.Errorf("%d calls in vain, retired: %v, want %d and x/a:\n%s", n, p.retired.list(), tt.vain, log())
				}
			})
		})
	}
}

// An hour later the model is looked for with a key that has not said that it is gone, if
// there is one.
func TestLooksWithAnotherKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, k, _ := newPool(t, noEndpoints("x/a"), from("x/a"))
		p.keys.replace([]string{"key-a"})
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		p.keys.replace([]string{"key-a", "key-b"})
		_ = sleep(t.Context(), retiredFor)
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		if k.count("key-b") != 1 || len(p.retired.list()) != 0 {
			t.Errorf("calls %v, retired: %v; want the look with the other key, and none", k.calls, p.retired.list())
		}
	})
}

// Another key that cannot tell leaves the question open: its failure is the call's own.
func TestOtherKeyCannotTell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, k, log := newPool(t, noEndpoints("x/a"), says(400, "temperature is too high", ""))
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), events.InvalidRequest)
		if len(p.retired.list()) != 0 || strings.Contains(log(), "WARN") {
			t.Errorf("retired: %v, want none:\n%s", p.retired.list(), log())
		}
		k.says["key-b"] = noEndpoints("x/a")
		checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "")
		if list := p.retired.list(); len(list) != 1 {
			t.Errorf("retired: %v, want x/a", list)
		}
	})
}

// Where the key with the model is taken out of the pool, the other one is asked again.
func TestKeyWithTheModelIsTakenOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, k, _ := newPool(t, noEndpoints("x/a"), from("x/a"))
		checkReply(t, p.askFor(t.Context(), "x/a"), "")
		checkReply(t, p.askFor(t.Context(), "x/a"), "")
		if !slices.Equal([]int{1, 2}, []int{k.count("key-a"), k.count("key-b")}) {
			t.Fatalf("calls: %v", k.calls)
		}
		p.keys.replace([]string{"key-a"})
		k.says["key-a"] = from("x/a")
		checkReply(t, p.askFor(t.Context(), "x/a"), "")
	})
}

// Where OpenRouter has the next model answer in silence for one key alone, the look asks
// with that key, and finds it out.
func TestOneKeyIsSilentlyWithoutTheModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, k := &modelRouter{}, &byKey{says: map[string]reaction{"key-a": from("x/b"), "key-b": from("x/a")}}
		m.tell("x/a", func(r *http.Request) (*http.Response, error) {
			m.mu.Lock()
			alone := len(m.seen[len(m.seen)-1].Models) == 0
			m.mu.Unlock()
			if alone && strings.HasSuffix(r.Header.Get("Authorization"), "key-a") {
				return noEndpoints("x/a")(r)
			}
			return k.react(r)
		})
		p, log := newLoggedCaller(t, m.react)
		substituted := 0
		for range 20 {
			re := p.askFor(t.Context(), "x/a", "x/a", "x/b")
			checkReply(t, re, "")
			if re.Answer != nil && re.Answer.Requested != "" {
				substituted++
			}
		}
		if substituted != 1 || len(p.retired.list()) != 0 || warnings(log) != 1 {
			t.Errorf("another model answered %d times, retired: %v; want once, and none:\n%s", substituted, p.retired.list(), log)
		}
	})
}
