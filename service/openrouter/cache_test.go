package openrouter_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter"
)

// What a request says of the response cache travels as headers, and a hit, its tier
// and its price are read from the answer.
func TestResponseCache(t *testing.T) {
	t.Parallel()
	const told = `{"id":"gen-1","model":"m","service_tier":"flex","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}`
	for name, tt := range map[string]struct {
		request openrouter.Request
		status  string // of the cache, as the answer says
		want    http.Header
		cached  bool
	}{
		"nothing said":  {openrouter.Request{}, "", http.Header{}, false},
		"refused":       {openrouter.Request{CacheTTL: new(0), CacheClear: true}, "", http.Header{"X-Openrouter-Cache": {"false"}}, false},
		"a miss":        {openrouter.Request{CacheTTL: new(60)}, "MISS", http.Header{"X-Openrouter-Cache": {"true"}, "X-Openrouter-Cache-Ttl": {"60"}}, false},
		"a hit":         {openrouter.Request{CacheTTL: new(86400)}, "HIT", http.Header{"X-Openrouter-Cache": {"true"}, "X-Openrouter-Cache-Ttl": {"86400"}}, true},
		"cleared first": {openrouter.Request{CacheTTL: new(1), CacheClear: true}, "MISS", http.Header{"X-Openrouter-Cache": {"true"}, "X-Openrouter-Cache-Ttl": {"1"}, "X-Openrouter-Cache-Clear": {"true"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent http.Header
			var body []byte
			server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				sent = r.Header
				body, _ = io.ReadAll(r.Body)
				w.Header().Set("X-OpenRouter-Cache-Status", tt.status)
				_, _ = io.WriteString(w, data(told, "[DONE]"))
			})
			tt.request.Prompt = "Why?"
			done, err := newClient(t, openrouter.Config{BaseURL: at(server.URL)}).Complete(t.Context(), testKey, &tt.request, nil)
			if err != nil || done.Cached != tt.cached || done.ServiceTier != "flex" {
				t.Errorf("got %+v, %v; want cached %v and the tier", done, err, tt.cached)
			}
			for _, header := range []string{"X-Openrouter-Cache", "X-Openrouter-Cache-Ttl", "X-Openrouter-Cache-Clear"} {
				if got, want := sent.Get(header), tt.want.Get(header); got != want {
					t.Errorf("header %s: got %q, want %q", header, got, want)
				}
			}
			if want := `{"messages":[{"role":"user","content":"Why?"}],"stream":true}`; string(body) != want {
				t.Errorf("body: got %s, want %s", body, want)
			}
		})
	}
}

// The digest is that of the bytes that are sent: it knows no order of fields.
func TestDigest(t *testing.T) {
	t.Parallel()
	digest := func(r openrouter.Request) (text string) {
		t.Helper()
		sum, err := r.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return string(sum[:])
	}
	extra := func(texts ...string) map[string]json.RawMessage {
		all := map[string]json.RawMessage{}
		for i := 0; i < len(texts); i += 2 {
			all[texts[i]] = json.RawMessage(texts[i+1])
		}
		return all
	}
	one := digest(openrouter.Request{Prompt: "Why?", Extra: extra("seed", "1", "user", `"u"`), CacheTTL: new(5)})
	if two := digest(openrouter.Request{Prompt: "Why?", Extra: extra("user", `"u"`, "seed", "1"), CacheTTL: new(6)}); two != one {
		t.Error("the same body has another digest")
	}
	if two := digest(openrouter.Request{Prompt: "Why?", Extra: extra("user", `"u"`, "seed", "2"), CacheTTL: new(5)}); two == one {
		t.Error("another body has the same digest")
	}
	if _, err := new(openrouter.Request{}).Digest(); err == nil {
		t.Error("a request without messages has a digest")
	}
}

// A request may wait longer for its first token than others.
func TestFirstTokenOfARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		client := newClient(t, openrouter.Config{Transport: transport, FirstToken: time.Second})
		began := time.Now()
		_, err := client.Complete(t.Context(), testKey, &openrouter.Request{Prompt: "Why?", FirstToken: time.Hour}, nil)
		if took := time.Since(began); took != time.Hour || err == nil {
			t.Errorf("gave up after %v with %v, want 1h", took, err)
		}
	})
}
