package upstream

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter"
)

func limited(left float64) openrouter.KeyInfo {
	return openrouter.KeyInfo{Limit: new(10.0), Remaining: &left, Reset: "monthly"}
}

// chosen returns the keys that the next calls get, one after the other.
func chosen(t *testing.T, k *keys, n need) (list string) {
	t.Helper()
	for range 4 {
		l, err := k.lend(t.Context(), 0, n)
		if err != nil {
			t.Fatal(err)
		}
		list += l.key.secret
		k.release(l)
	}
	return list
}

// A key that cannot pay is passed over while another can be used, and is used where
// none can: OpenRouter has the last word.
func TestKeysThatCannotPay(t *testing.T) {
	t.Parallel()
	yesterday := time.Now().Add(-24 * time.Hour)
	tests := map[string]struct {
		a, b   openrouter.KeyInfo
		prompt int
		want   string // keys that are used
	}{
		"no limits":                       {openrouter.KeyInfo{}, openrouter.KeyInfo{}, 8e6, "ab"},
		"nothing left":                    {limited(0), openrouter.KeyInfo{}, 0, "b"},
		"overdrawn":                       {limited(-1), limited(1), 0, "b"},
		"too little for the prompt":       {limited(0.9), limited(1), 8e6, "b"}, // a million tokens, 1 USD
		"enough for the prompt":           {limited(1.1), limited(5), 8e6, "ab"},
		"expired":                         {openrouter.KeyInfo{ExpiresAt: yesterday}, limited(1), 0, "b"},
		"neither can pay":                 {limited(0), limited(0), 0, "ab"},
		"too little, and expired: equals": {limited(0), openrouter.KeyInfo{ExpiresAt: yesterday}, 0, "ab"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := testKeys(0, "a", "b")
			k.setPrice("m", 1e-6)
			k.learn(k.all[0], tt.a)
			k.learn(k.all[1], tt.b)
			got := chosen(t, k, need{model: "m", prompt: tt.prompt})
			for _, key := range []string{"a", "b"} {
				if strings.Contains(got, key) != strings.Contains(tt.want, key) {
					t.Errorf("got keys %s, want %s", got, tt.want)
				}
			}
			if other := chosen(t, k, need{model: "another", prompt: 8e6}); tt.prompt > 0 && !strings.Contains(other, "a") {
				t.Errorf("a model whose price is not known: got keys %s", other)
			}
			if wait, code := k.cooling(); wait != 0 || code != "" {
				t.Errorf("a key rests for %v, %s", wait, code)
			}
		})
	}
}

// What calls cost lowers what is left, until OpenRouter is asked again. The other
// key rests: then the one that cannot pay is used after all, and if it works, what
// was known is out of date.
func TestRemainingFalls(t *testing.T) {
	t.Parallel()
	k := testKeys(0, "sk-or-v1-aaaaaaaaaaaaaaaa", "sk-or-v1-bbbbbbbbbbbbbbbb")
	a, b := k.all[0], k.all[1]
	k.learn(a, limited(1))
	k.spend(b, 5)
	if sum, has := k.remaining(); sum != 1 || !has {
		t.Errorf("remaining: got %v, %v", sum, has)
	}
	k.spend(a, 0.25)
	if s := k.list()[0]; s.State != usable || *s.Remaining != 0.75 || *s.Limit != 10 || s.Reset != "monthly" || s.Until != nil || s.ExpiresAt != nil {
		t.Errorf("after a call: got %+v", s)
	}
	l, err := k.lend(t.Context(), 0, need{avoid: b}) // under way when the limit is reached
	if err != nil || l.key != a {
		t.Fatalf("got %+v, %v", l, err)
	}
	k.spend(a, 0.75)
	k.succeeded(l)
	if got := chosen(t, k, need{}); strings.Contains(got, a.secret) {
		t.Errorf("nothing left: got keys %s", got)
	}
	if s := k.list()[0]; s.State != string(events.InsufficientCredits) || s.Until != nil || *s.Remaining != 0 || k.states()[string(events.InsufficientCredits)] != 1 {
		t.Errorf("nothing left: got %+v", s)
	}
	k.failed(take(t, k, 0), tooMany())
	l = take(t, k, 0)
	if l.key != a {
		t.Fatal("the key that rests was used")
	}
	k.succeeded(l)
	if s := k.list()[0]; s.State != usable || s.Remaining != nil {
		t.Errorf("it works, though nothing is left: got %+v", s)
	}
	k.learn(a, openrouter.KeyInfo{ExpiresAt: time.Now().Add(-time.Hour)})
	if s := k.list()[0]; s.State != string(events.Unauthorized) || s.ExpiresAt == nil {
		t.Errorf("expired: got %+v", s)
	}
	k.succeeded(take(t, k, 0))
	if s := k.list()[0]; s.State != usable || s.ExpiresAt != nil {
		t.Errorf("it works, though it has expired: got %+v", s)
	}
	if _, has := k.remaining(); has {
		t.Error("remaining: there is no limit left")
	}
}

// The bytes of media say nothing of tokens.
func TestPromptBytes(t *testing.T) {
	t.Parallel()
	if got := promptBytes(openrouter.Request{System: "abc", Prompt: "de", Messages: []byte(`[{}]`)}); got != 10 {
		t.Errorf("texts: got %d", got)
	}
	for _, media := range []string{`"data:image/png;base64,AAAA"`, `{"input_audio":1}`, `{"file_data":1}`} {
		if got := promptBytes(openrouter.Request{System: "abc", Messages: []byte(media)}); got != 1 {
			t.Errorf("%s: got %d", media, got)
		}
	}
}

// A call whose prompt costs more than a key has left uses another. The price is the
// catalogue's.
func TestDearPromptsUseAnotherKey(t *testing.T) {
	t.Parallel()
	p, up := newTestCaller(t, func(c *config.Config) { c.APIKeys, c.Model = config.List{"key-a", "key-b"}, "m/m" }, ok)
	up.catalogue = func(r *http.Request) (*http.Response, error) {
		return response(r, 200, `{"data":{"id":"m/m","pricing":{"prompt":"0.001"}}}`), nil
	}
	p.listed.read(t.Context(), "key-a")
	p.keys.learn(p.keys.all[0], limited(0.9))
	p.keys.learn(p.keys.all[1], limited(5))
	dear := question()
	dear.Model, dear.Prompt = "m/m", strings.Repeat("x", 8000)
	for range 4 {
		checkReply(t, p.askWith(t.Context(), dear), "")
	}
	if got := strings.Join(up.calls, " "); strings.Contains(got, "key-a") {
		t.Errorf("prompts of 1 USD: got keys %s", got)
	}
	for range 2 {
		checkReply(t, p.ask(t.Context()), "")
	}
	if got := strings.Join(up.calls, " "); !strings.Contains(got, "key-a") {
		t.Errorf("small prompts: got keys %s", got)
	}
}
