package inprocess_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

const flexModel = "google/gemini-3.5-flash-lite"

// saves allows and turns on what costs less.
func saves(c *config.Config) {
	c.PriceTiersAllow, c.RetryDelays = config.List{"flex"}, []int{1}
	c.ModelsAllow = append(c.ModelsAllow, "@preset/cheap")
}

// flexOf asks for the tier flex.
func flexOf(more map[string]any) map[string]any {
	fields := map[string]any{"model": flexModel, "openrouter": map[string]any{"service_tier": "flex"}}
	maps.Copy(fields, more)
	return fields
}

// has wants parts in a result.
func (b *bench) has(got servicetest.Stored, parts ...string) {
	b.t.Helper()
	for _, part := range parts {
		if !strings.Contains(string(got.Body), part) {
			b.t.Errorf("result lacks %s: %s", part, got.Body)
		}
	}
}

// The same request twice, its keys in another order: the second result costs nothing
// and says so, and so does a scrape. With two keys both calls have the same one.
func TestSecondOfEqualRequestsIsFree(t *testing.T) {
	t.Parallel()
	b := setup(t, saves, func(c *config.Config) {
		c.APIKeys, c.Cache = config.List{servicetest.Key + "-1", servicetest.Key + "-2"}, config.CacheTTL(time.Hour)
	})
	r := b.start()
	ask := func(format string) servicetest.Stored {
		id := servicetest.NewID()
		b.Publish(fmt.Appendf(nil, format, id), nil)
		return b.Result(id)
	}
	first := ask(`{"request_id":%q,"prompt":"Why?","metadata":{"job":1},"openrouter":{"seed":7,"provider":{"sort":"price","zdr":false}}}`)
	second := ask(`{"openrouter":{"provider":{"zdr":false,"sort":"price"},"seed":7},"metadata":{"job":2},"prompt":"Why?","stream":true,"request_id":%q}`)
	off := ask(`{"request_id":%q,"prompt":"Why?","cache_ttl":0,"openrouter":{"seed":7,"provider":{"sort":"price","zdr":false}}}`)
	if first.Result.Cached || off.Result.Cached || *first.Result.Cost == 0 || *off.Result.Cost != *first.Result.Cost {
		t.Errorf("first: %s\nwith the cache off: %s", first.Body, off.Body)
	}
	b.has(second, `"cached":true`, `"cost":0`, `"total_tokens":0`, `"audio_tokens":0`, `"cost_details":{"upstream_inference_cost":0,`, `"metadata":{"job":2}`)
	if *second.Result.Content != *first.Result.Content {
		t.Errorf("content: %s, then %s", first.Body, second.Body)
	}
	calls := b.openrouter.Calls()
	if string(calls[0].Body) != string(calls[1].Body) || calls[0].Key != calls[1].Key {
		t.Errorf("calls with keys %s and %s:\n%s\n%s", calls[0].Key, calls[1].Key, calls[0].Body, calls[1].Body)
	}
	text, _ := r.get("/metrics")
	for _, want := range []string{`gemini_cache_lookups_total{outcome="hit"} 1`, `gemini_cache_lookups_total{outcome="miss"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("a scrape lacks %s", want)
		}
	}
}

// Flex that has no capacity is asked once a delivery, and answers when it has some.
func TestFlexComesLater(t *testing.T) {
	t.Parallel()
	b := setup(t, saves)
	b.openrouter.SetFault(simulator.Fault{Name: "flex_capacity", Times: 2})
	b.start()
	got := b.Result(b.Ask("flex", flexOf(nil)))
	b.has(got, `"status":"success"`, `"service_tier":"flex"`, `"attempts":1`, `"retry_count":2`)
	if n := b.openrouter.Count(); n != 3 {
		t.Errorf("calls: got %d, want one for each of 3 deliveries", n)
	}
}

// With service_tier_fallback the default tier answers in the same delivery.
func TestFlexFallsBack(t *testing.T) {
	t.Parallel()
	b := setup(t, saves)
	b.openrouter.SetFault(simulator.Fault{Name: "flex_capacity"})
	b.start()
	got := b.Result(b.Ask("flex", flexOf(map[string]any{"service_tier_fallback": true})))
	b.has(got, `"status":"success"`, `"attempts":2`, `"retry_count":0`)
	if got.Result.ServiceTier != nil || *got.Result.Cost != b.openrouter.Calls()[1].Cost {
		t.Errorf("result: %s", got.Body)
	}
}

// Without endpoints of flex the default tier is billed, and told.
func TestTierThatServedIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t, saves)
	b.start()
	b.has(b.Result(b.Ask("no flex", flexOf(map[string]any{"model": "google/gemini-2.5-flash"}))), `"service_tier":"default"`)
	plain := b.Result(b.Ask("no tier", nil))
	if strings.Contains(string(plain.Body), "service_tier") || strings.Contains(string(plain.Body), "cached\"") {
		t.Errorf("result: %s", plain.Body)
	}
}

// What may not be asked for fails once, without a call, with a sentence for each rule.
func TestWhatCostsMoreIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	got := b.Result(b.Ask("dear", map[string]any{
		"model": "gemini-2.5-flash:nitro", "cache_ttl": -1,
		"openrouter": map[string]any{"service_tier": "priority", "preset": "dear", "user": strings.Repeat("x", 129), "trace": 1},
	}))
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.InvalidRequest || b.openrouter.Count() != 0 {
		t.Fatalf("after %d calls: %s", b.openrouter.Count(), got.Body)
	}
	for _, want := range []string{
		`model: is "gemini-2.5-flash:nitro", whose suffix :nitro asks for the price tier "priority", which is not allowed; leave the suffix out`,
		`openrouter.service_tier: is "priority", a price tier that is not allowed; give one of "auto", "default", or have PRICE_TIERS_ALLOW allow it`,
		`openrouter.preset: is "@preset/dear", which is not allowed; give a model that matches one of "google/*", "~google/*"`,
		"openrouter.user: has 129 characters; give at most 128",
		"openrouter.trace: is a number; give an object or null",
		"cache_ttl: is -1; give an integer from 0 to 86400",
	} {
		if !strings.Contains(*got.Result.Error, want) {
			t.Errorf("the error lacks %s:\n%s", want, *got.Result.Error)
		}
	}
}

// A preset, a session and the labels of OpenRouter reach it as they were sent. The
// request's own metadata does not.
func TestLabelsAreSent(t *testing.T) {
	t.Parallel()
	b := setup(t, saves)
	b.start()
	id := servicetest.NewID()
	const fields = `"metadata": {"team":"a"}, "preset":"cheap","session_id":"s-1","trace":{"trace_name":"x"},"user":"u-1"`
	b.Publish([]byte(`{"request_id":"`+id+`","prompt":"Why?","metadata":{"mine":true},"openrouter":{`+fields+`}}`), nil)
	b.answered(id)
	call := b.openrouter.Calls()[0]
	const want = `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"metadata":{"team":"a"},"model":"google/gemini-2.5-flash",` +
		`"preset":"cheap","session_id":"s-1","stream":true,"temperature":0.7,"top_k":40,"top_p":0.95,"trace":{"trace_name":"x"},"user":"u-1"}`
	if string(call.Body) != want {
		t.Errorf("body\n got %s\nwant %s", call.Body, want)
	}
	if !json.Valid(call.Body) || call.SessionID != "s-1" || call.Header.Get("X-OpenRouter-Cache") != "" {
		t.Errorf("call: session %q, headers %v", call.SessionID, call.Header)
	}
}
