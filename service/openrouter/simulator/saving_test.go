package simulator_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter/simulator"
)

const flexModel = "google/gemini-3.5-flash-lite"

// post makes a call with further headers.
func (b *bench) post(t *testing.T, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testKey)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: string(text), err: err}
}

// told is what an answer says of its price.
type told struct {
	ID      string `json:"id"`
	Tier    string `json:"service_tier"`
	Choices []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
	} `json:"choices"`
	Usage struct {
		Total int     `json:"total_tokens"`
		Cost  float64 `json:"cost"`
	} `json:"usage"`
}

func (a answer) told(t *testing.T) (say told) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &say); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d, body %s: %v", a.status, a.body, err)
	}
	return say
}

func TestTiers(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	flex := fields{"service_tier": "flex"}
	only := fields{"provider": fields{"only": []string{"google-vertex/flex"}}}
	price := b.post(t, chatBody("why?", fields{"model": flexModel})).told(t).Usage.Cost
	full := simulator.Fault{Name: "flex_capacity"}
	for name, tt := range map[string]struct {
		model  string
		more   fields
		status int
		tier   string
		share  float64 // of the price
		busy   int     // the status without capacity
	}{
		"no tier":             {flexModel, nil, 200, "", 1, 200},
		"flex":                {flexModel, flex, 200, "flex", 0.5, 429},
		"flex endpoints":      {flexModel, only, 200, "flex", 0.5, 429},
		"floor":               {flexModel + ":floor", nil, 200, "flex", 0.5, 200},
		"no such endpoints":   {"google/gemini-2.5-flash", flex, 200, "default", 1, 200},
		"only such endpoints": {"google/gemini-2.5-flash", only, 404, "", 0, 404},
		"another tier":        {flexModel, fields{"service_tier": "priority"}, 200, "default", 1, 200},
	} {
		more := fields{"model": tt.model}
		maps.Copy(more, tt.more)
		got := b.post(t, chatBody("why?", more))
		if got.status != tt.status {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, tt.status)
		} else if tt.status == http.StatusOK {
			if say := got.told(t); say.Tier != tt.tier || say.Usage.Cost != price*tt.share {
				t.Errorf("%s: got tier %q at %v, want %q at %v", name, say.Tier, say.Usage.Cost, tt.tier, price*tt.share)
			}
		}
		b.SetFault(full)
		if got := b.post(t, chatBody("why?", more)); got.status != tt.busy {
			t.Errorf("%s, no capacity: got %d %s, want %d", name, got.status, got.body, tt.busy)
		}
		b.ClearFaults()
	}
}

func TestResponseCache(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	on := []string{"X-OpenRouter-Cache", "true", "X-OpenRouter-Cache-TTL", "60"}
	body := chatBody("why?", nil)
	first := b.post(t, body, on...)
	if h := first.header; h.Get("X-OpenRouter-Cache-Status") != "MISS" || h.Get("X-OpenRouter-Cache-TTL") != "60" || first.told(t).Usage.Cost == 0 {
		t.Errorf("first: got headers %v, body %s", h, first.body)
	}
	again := b.post(t, strings.ReplaceAll(body, ":", " : "), on...)
	one, two := first.told(t), again.told(t)
	if h := again.header; h.Get("X-OpenRouter-Cache-Status") != "HIT" || h.Get("X-OpenRouter-Cache-Source-Id") != one.ID || h.Get("X-OpenRouter-Cache-Age") == "" {
		t.Errorf("again: got headers %v", h)
	}
	if two.ID == one.ID || two.Usage.Total != 0 || two.Usage.Cost != 0 || two.Choices[0].Message.Content != one.Choices[0].Message.Content {
		t.Errorf("again: got %s, want %s for nothing under a new id", again.body, first.body)
	}
	if calls := b.Calls(); calls[0].CacheHit || !calls[1].CacheHit || calls[1].Cost != 0 {
		t.Errorf("calls: %+v", calls)
	}
	for name, miss := range map[string]answer{
		"not asked for": b.post(t, body),
		"refused":       b.post(t, body, "X-OpenRouter-Cache", "false"),
		"another order": b.post(t, `{"messages":[{"role":"user","content":"why?"}],"model":"google/gemini-2.5-flash"}`, on...),
		"another body":  b.post(t, chatBody("why?", fields{"user": "u"}), on...),
		"a stream":      b.post(t, chatBody("why?", fields{"stream": true}), on...),
		"another key":   b.post(t, body, append([]string{"Authorization", "Bearer sk-or-v1-test-bbbb"}, on...)...),
		"cleared":       b.post(t, body, append([]string{"X-OpenRouter-Cache-Clear", "true"}, on...)...),
		"an error":      b.post(t, chatBody("why? [sim:503]", nil), on...),
		"an error too":  b.post(t, chatBody("why? [sim:503]", nil), on...),
	} {
		if got := miss.header.Get("X-OpenRouter-Cache-Status"); got == "HIT" {
			t.Errorf("%s: got a hit", name)
		}
	}
	if got := b.post(t, chatBody("why?", fields{"stream": true}), on...); got.header.Get("X-OpenRouter-Cache-Status") != "HIT" || !strings.Contains(got.body, `"cost":0,`) {
		t.Errorf("a stream again: got %v %s", got.header, got.body)
	}
}

// An answer is kept for its time, and not before it was sent to its end.
func TestResponseCacheExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{})
		ask := func() string {
			w := &recorder{header: http.Header{}}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/chat/completions", strings.NewReader(chatBody("why?", nil)))
			r.Header.Set("Authorization", "Bearer "+testKey)
			r.Header.Set("X-OpenRouter-Cache", "true")
			sim.ServeHTTP(w, r)
			return w.header.Get("X-OpenRouter-Cache-Status")
		}
		got := ask() + ask()
		time.Sleep(300*time.Second - time.Nanosecond) //nolint:forbidigo // time of the bubble
		got += ask()
		time.Sleep(time.Nanosecond) //nolint:forbidigo // time of the bubble
		if got += ask(); got != "MISSHITHITMISS" {
			t.Errorf("got %s, want a miss, two hits within 300 s and a miss", got)
		}
	})
	b := start(t, simulator.Config{TokenInterval: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/api/v1/chat/completions", strings.NewReader(chatBody("why?", fields{"stream": true})))
	request.Header.Set("Authorization", "Bearer "+testKey)
	request.Header.Set("X-OpenRouter-Cache", "true")
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = response.Body.Close()
	if err := b.Wait(t.Context(), func(s simulator.Stats) bool { return s.Ended == 1 }); err != nil {
		t.Fatal(err)
	}
	second, err := http.NewRequestWithContext(t.Context(), http.MethodPost, request.URL.String(), strings.NewReader(chatBody("why?", fields{"stream": true})))
	if err != nil {
		t.Fatal(err)
	}
	second.Header = request.Header
	response, err = b.client.Do(second)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("X-OpenRouter-Cache-Status"); got != "MISS" {
		t.Errorf("after a cancelled call: got %s, want MISS", got)
	}
}

// recorder is a ResponseWriter without a connection.
type recorder struct {
	header http.Header
}

func (r *recorder) Header() http.Header          { return r.header }
func (*recorder) Write(data []byte) (int, error) { return len(data), nil }
func (*recorder) WriteHeader(int)                {}
func (*recorder) Flush()                         {}

func TestLabelsTooLong(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	for _, more := range []fields{
		{"user": strings.Repeat("x", 129)},
		{"session_id": strings.Repeat("x", 257)},
		{"metadata": map[string]string{strings.Repeat("k", 65): "v"}},
		{"metadata": map[string]string{"k": strings.Repeat("v", 513)}},
	} {
		if got := b.post(t, chatBody("why?", more)); got.status != http.StatusBadRequest {
			t.Errorf("%v: got %d %s, want 400", more, got.status, got.body)
		}
	}
	if got := b.post(t, chatBody("why?", fields{"session_id": "s", "user": "u", "trace": fields{"trace_id": "x"}})); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if c := b.Calls()[4]; c.SessionID != "s" || c.User != "u" {
		t.Errorf("call: session %q, user %q", c.SessionID, c.User)
	}
}
