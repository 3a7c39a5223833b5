package upstream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/service/upstream"
)

const flexModel = "google/gemini-3.5-flash-lite"

// answer asks and wants an answer.
func (b bench) answer(t *testing.T, r events.Request) upstream.Reply {
	t.Helper()
	re := b.Answer(t.Context(), &r, func(int, string) {})
	if re.Err != nil {
		t.Fatalf("request: %v", re.Err)
	}
	return *re
}

// with is a request with further fields for OpenRouter, as JSON.
func with(fields string) events.Request {
	r := request("Why?")
	if err := json.Unmarshal([]byte(fields), &r.OpenRouter); err != nil {
		panic(err) // a bug in the test
	}
	return r
}

// sent is the body of a call, and what it says of the cache.
func (b bench) sent(n int) (body, cache string) {
	c := b.router.Calls()[n]
	return string(c.Body), strings.TrimSpace(c.Header.Get("X-OpenRouter-Cache") + " " + c.Header.Get("X-OpenRouter-Cache-TTL"))
}

// plain is the body of a request up to its model, and what comes after that.
func plain(after string) string {
	return `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"google/gemini-2.5-flash",` + after
}

const rest = `"stream":true,"temperature":0.7,"top_k":40,"top_p":0.95`

// What is passed on reaches OpenRouter byte for byte, and nothing is added to it.
func TestPassedOnByteForByte(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, nil)
	for name, tt := range map[string]struct{ fields, want string }{
		"nothing":   {`{}`, plain(rest) + "}"},
		"tier":      {`{"service_tier":"flex"}`, plain(`"service_tier":"flex",`+rest) + "}"},
		"session":   {`{"session_id":"call-4711"}`, plain(`"session_id":"call-4711",`+rest) + "}"},
		"preset":    {`{"preset":"x"}`, plain(`"preset":"x",`+rest) + "}"},
		"user":      {`{"user":"u \u00fc"}`, plain(rest+`,"user":"u \u00fc"`) + "}"},
		"metadata":  {`{"metadata":{"b": "2", "a":"<1>"}}`, `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"metadata":{"b": "2", "a":"<1>"},"model":"google/gemini-2.5-flash",` + rest + "}"},
		"provider":  {`{"provider":{"sort":"price", "only":["google-vertex/flex"]}}`, ""},
		"reasoning": {`{"reasoning":{"effort":"low"}}`, plain(`"reasoning":{"effort":"low"},`+rest) + "}"},
		"trace":     {`{"trace":{"trace_id":"t-1","any":{"z":1,"a":2}}}`, plain(rest+`,"trace":{"trace_id":"t-1","any":{"z":1,"a":2}}`) + "}"},
	} {
		n := b.router.Count()
		re := b.Answer(t.Context(), new(with(tt.fields)), func(int, string) {})
		body, cache := b.sent(n)
		if tt.want != "" && (re.Err != nil || body != tt.want) {
			t.Errorf("%s: %v\n got %s\nwant %s", name, re.Err, body, tt.want)
		}
		if cache != "" {
			t.Errorf("%s: the cache is asked: %s", name, cache)
		}
		if name == "provider" && !strings.Contains(body, `"provider":{"sort":"price", "only":["google-vertex/flex"]},`) {
			t.Errorf("%s: got %s", name, body)
		}
	}
	r := request("")
	r.Messages = json.RawMessage(`[{"role":"system","content":[{"type":"text", "text":"long","cache_control":{"ttl" : "5m","type":"ephemeral"}}]},{"role":"user","content":"Why?"}]`)
	n := b.router.Count()
	b.answer(t, r)
	if body, _ := b.sent(n); !strings.Contains(body, `"messages":`+string(r.Messages)+`,"model"`) {
		t.Errorf("messages: got %s, want %s", body, r.Messages)
	}
}

// The same request twice with the cache on: the second costs nothing, and says so. The
// order of its keys does not matter, and nothing of the job is in the body.
func TestEqualRequestsAreCached(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, func(c *config.Config) {
		c.Cache, c.OpenRouter.Trace = config.CacheTTL(time.Hour), true
	})
	const order = `{"provider":{"sort":"price","max_price":{"prompt":1,"completion":3}},"seed":1.0,"response_format":{"type":"json_object"},"reasoning":{"effort":"low"}}`
	const another = `{"reasoning":{ "effort":"low"},"seed":1.0,"response_format":{"type":"json_object"},"provider":{"max_price":{"completion":3,"prompt":1} , "sort":"price"}}`
	first, second := b.answer(t, with(order)), b.answer(t, with(another))
	if u := first.Usage; u.Cached || u.Cost == nil || *u.Cost == 0 {
		t.Errorf("the first: cached %v, cost %v; want a cost", u.Cached, u.Cost)
	}
	if u := second.Usage; !u.Cached || u.Cost == nil || *u.Cost != 0 || u.Usage.TotalTokens != 0 || u.GenerationID == first.Usage.GenerationID {
		t.Errorf("the second: %+v, want a hit for nothing", u)
	}
	if first.Answer.Content != second.Answer.Content {
		t.Errorf("answers: got %q and %q", first.Answer.Content, second.Answer.Content)
	}
	one, cache := b.sent(0)
	if two, _ := b.sent(1); one != two || cache != "true 3600" {
		t.Errorf("bodies with cache %q:\n%s\n%s", cache, one, two)
	}
	want := plain(`"provider":{"max_price":{"completion":3,"prompt":1},"sort":"price"},"reasoning":{"effort":"low"},"response_format":{"type":"json_object"},"seed":1.0,`+rest) + "}"
	if one != want {
		t.Errorf("body\n got %s\nwant %s", one, want)
	}
	var hits []string
	for _, s := range b.spans.GetSpans() {
		for _, a := range s.Attributes {
			if a.Key == "openrouter.cache.hit" {
				hits = append(hits, a.Value.String())
			}
		}
	}
	if fmt.Sprint(hits) != "[false true]" {
		t.Errorf("spans: hits %v, want false, then true", hits)
	}
}

// A request says itself whether the cache is asked, and for how long.
func TestRequestsCacheSetting(t *testing.T) {
	t.Parallel()
	for setting, want := range map[time.Duration]map[string]string{
		0:           {"nothing": "", "0": "false", "60": "true 60"},
		time.Minute: {"nothing": "true 60", "0": "false", "86400": "true 86400"},
	} {
		b := newBench(t, simulator.Config{}, func(c *config.Config) { c.Cache = config.CacheTTL(setting) })
		for ttl, header := range want {
			r := request("Why?")
			var seconds int
			if n, _ := fmt.Sscan(ttl, &seconds); n == 1 {
				r.CacheTTL = &seconds
			}
			b.answer(t, r)
			if _, got := b.sent(b.router.Count() - 1); got != header {
				t.Errorf("OPENROUTER_CACHE=%v, cache_ttl %s: got headers %q, want %q", setting, ttl, got, header)
			}
		}
	}
}

// With several keys each body has its own, in every process, so that the second call
// of a body hits. A key that cannot be used leaves its bodies to the others, and takes
// them back.
func TestEqualBodiesKeepToOneKey(t *testing.T) {
	t.Parallel()
	router := servicetest.RunOpenRouter(t, simulator.Config{})
	b := newBench(t, simulator.Config{}, func(c *config.Config) {
		c.APIKeys, c.BaseURL = config.List{servicetest.Key + "-1", servicetest.Key + "-2", servicetest.Key + "-3"}, router.URL
		c.Cache = config.CacheTTL(time.Hour)
	})
	c := newBench(t, simulator.Config{}, func(c *config.Config) {
		c.APIKeys, c.BaseURL = config.List{servicetest.Key + "-3", servicetest.Key + "-1", servicetest.Key + "-2"}, router.URL
		c.Cache = config.CacheTTL(time.Hour)
	})
	used := map[string]int{}
	for i := range 30 {
		prompt := fmt.Sprint("Why? ", i)
		b.answer(t, request(prompt))
		if re := c.answer(t, request(prompt)); !re.Usage.Cached {
			t.Errorf("%s: another process misses", prompt)
		}
		used[router.Calls()[2*i].Key]++
	}
	if len(used) != 3 {
		t.Errorf("keys of 30 bodies: got %v, want all three in use", used)
	}
	own := router.Calls()[0].Key
	router.SetFault(simulator.Fault{Name: "429_platform", Key: own[len(own)-2:], Params: map[string]string{"reset": "30s"}, Times: 1})
	re := b.answer(t, request("Why? 0"))
	if calls := router.Calls(); re.Usage.Cached || re.Attempts != 2 || calls[len(calls)-1].Key == own {
		t.Errorf("a body whose key is limited: %+v", re.Usage)
	}
	if re := c.answer(t, request("Why? 0")); !re.Usage.Cached {
		t.Error("where the key is not limited, its body misses")
	}
}

// A 200 is kept by the cache whatever is in it: an answer that was none is not asked
// for again.
func TestEmptyAnswerIsNotCached(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, func(c *config.Config) { c.Cache = config.CacheTTL(time.Hour) })
	if re := b.answer(t, request("Why? [sim:empty times=1]")); re.Attempts != 2 || re.Usage.Cached {
		t.Errorf("got %d attempts, %+v; want the second to answer", re.Attempts, re.Usage)
	}
	if h := b.router.Calls()[1].Header; h.Get("X-OpenRouter-Cache-Clear") != "true" || b.router.Calls()[0].Header.Get("X-OpenRouter-Cache-Clear") != "" {
		t.Errorf("headers of the second attempt: %v", h)
	}
}

// OPENROUTER_TRACE fills in what the request does not say itself.
func TestTraceIsFilledIn(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, func(c *config.Config) { c.OpenRouter.Trace = true })
	b.answer(t, request("Why?"))
	b.answer(t, with(`{"trace":{"trace_name":"<calls>","trace_id":"mine"}}`))
	b.answer(t, with(`{"trace":null}`))
	var ids []string
	for _, s := range b.spans.GetSpans() {
		if strings.HasPrefix(s.Name, "chat ") {
			ids = append(ids, s.SpanContext.TraceID().String(), s.SpanContext.SpanID().String())
		}
	}
	for n, want := range []string{
		`"trace":{"parent_span_id":"` + ids[1] + `","trace_id":"` + ids[0] + `"}}`,
		`"trace":{"parent_span_id":"` + ids[3] + `","trace_id":"mine","trace_name":"<calls>"}}`,
		`"trace":{"parent_span_id":"` + ids[5] + `","trace_id":"` + ids[4] + `"}}`,
	} {
		if body, _ := b.sent(n); body != plain(rest+","+want) {
			t.Errorf("got %s\nwant it to end in %s", body, want)
		}
	}
}
