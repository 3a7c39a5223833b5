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
	"gemini-client/service/upstream"
)

// flexRequest asks for flex of a model that has it.
func flexRequest(prompt string, falls bool) events.Request {
	r := request(prompt)
	r.Model, r.ServiceTierFallback = flexModel, falls
	r.OpenRouter = map[string]json.RawMessage{"service_tier": json.RawMessage(`"flex"`)}
	return r
}

// The tier that answered is told: without endpoints of flex OpenRouter bills the
// default tier and says nothing else.
func TestTierIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, nil)
	whole := request("Why?")
	whole.Model = flexModel
	price := *b.answer(t, whole).Usage.Cost
	if u := b.answer(t, flexRequest("Why?", false)).Usage; u.ServiceTier != "flex" || *u.Cost != price/2 || *u.Details.Upstream != price/2 {
		t.Errorf("flex: got %+v, want half of %v", u, price)
	}
	r := flexRequest("Why?", false)
	r.Model = "google/gemini-2.5-flash"
	if u := b.answer(t, r).Usage; u.ServiceTier != "default" || *u.Cost != price {
		t.Errorf("flex of a model without: got %+v, want the default tier at %v", u, price)
	}
	if u := b.answer(t, request("Why?")).Usage; u.ServiceTier != "" || u.Usage.AudioTokens == nil {
		t.Errorf("no tier: got %+v, want none told", u)
	}
}

// Flex without capacity is not asked again at once: the request comes later, or the
// default tier answers in the same delivery, if the request says so.
func TestFlexWithoutCapacity(t *testing.T) {
	t.Parallel()
	only := func(r events.Request) events.Request {
		r.OpenRouter = map[string]json.RawMessage{"provider": json.RawMessage(`{"only":["google-vertex/flex"]}`)}
		return r
	}
	for name, tt := range map[string]struct {
		fault   string
		request events.Request
		answers bool
		wait    time.Duration // at least
	}{
		"429":                             {"flex_capacity", flexRequest("Why?", false), false, 0},
		"429 that names a time":           {"flex_capacity retry_after=7", flexRequest("Why?", false), false, 7 * time.Second},
		"503":                             {"flex_capacity code=503", flexRequest("Why?", false), false, 0},
		"all providers at capacity":       {"capacity_exhausted", flexRequest("Why?", false), false, 40 * time.Second},
		"temporarily unavailable":         {"temporarily_unavailable", flexRequest("Why?", false), false, 0},
		"429, falls back":                 {"flex_capacity", flexRequest("Why?", true), true, 0},
		"429 with a time, falls back":     {"flex_capacity retry_after=600", flexRequest("Why?", true), true, 0},
		"503, falls back":                 {"flex_capacity code=503", flexRequest("Why?", true), true, 0},
		"endpoints of flex":               {"flex_capacity", only(flexRequest("Why?", false)), false, 0},
		"endpoints of flex are no choice": {"flex_capacity", only(flexRequest("Why?", true)), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, simulator.Config{}, nil)
			fault, err := simulator.ParseFault(tt.fault)
			if err != nil {
				t.Fatal(err)
			}
			b.router.SetFault(fault)
			re := b.Answer(t.Context(), &tt.request, func(int, string) {})
			if !tt.answers {
				if e := re.Err; e == nil || e.Code != events.RateLimited || e.Heals != upstream.Later || e.Wait < tt.wait || re.Attempts != 1 || !strings.Contains(e.Message, "flex has no capacity") {
					t.Errorf("got %+v after %d attempts, want to come later after one", e, re.Attempts)
				}
			} else if re.Err != nil || re.Attempts != 2 || re.Usage.ServiceTier != "" {
				t.Errorf("got %+v after %d attempts, want the default tier's answer to the second", re.Err, re.Attempts)
			} else if body, _ := b.sent(1); strings.Contains(body, "service_tier") {
				t.Errorf("the second attempt: %s", body)
			}
			s := b.Status()
			if s.Breaker != "closed" || fmt.Sprint(s.Keys) != "map[insufficient_credits:0 rate_limited:0 unauthorized:0 usable:2]" || len(s.Models) != 0 {
				t.Errorf("status: %+v, want keys and model untouched", s)
			}
		})
	}
}

// What is not a want of capacity is treated as ever, flex or not; and what is one is,
// where flex was not asked for.
func TestOtherFailuresOfFlex(t *testing.T) {
	t.Parallel()
	for fault, tt := range map[string]struct {
		request  events.Request
		attempts int
	}{
		"429_platform reset=600s": {flexRequest("Why?", true), 2}, // with each key
		"502":                     {flexRequest("Why?", false), 3},
		"503":                     {request("Why?"), 3},
		"400":                     {flexRequest("Why?", true), 1},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, simulator.Config{}, nil)
			f, err := simulator.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			b.router.SetFault(f)
			re := b.Answer(t.Context(), &tt.request, func(int, string) {})
			if re.Err == nil || re.Attempts != tt.attempts || strings.Contains(re.Err.Message, "flex") {
				t.Errorf("got %v after %d attempts, want %d", re.Err, re.Attempts, tt.attempts)
			}
			for n := range re.Attempts {
				if body, _ := b.sent(n); strings.Contains(string(tt.request.OpenRouter["service_tier"]), "flex") != strings.Contains(body, `"service_tier":"flex"`) {
					t.Errorf("attempt %d: %s", n+1, body)
				}
			}
		})
	}
}

// An answer of flex may take minutes to begin: CALL_TIMEOUT alone bounds it.
func TestFlexMayBeginLate(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{Latency: 100 * time.Millisecond}, func(c *config.Config) { c.FirstTokenTimeout = 10 * time.Millisecond })
	if re := b.answer(t, flexRequest("Why?", false)); re.Attempts != 1 {
		t.Errorf("got %d attempts, want 1", re.Attempts)
	}
	if re := b.Answer(t.Context(), new(request("Why?")), func(int, string) {}); re.Err == nil || re.Err.Code != events.UpstreamTimeout {
		t.Errorf("another tier: got %+v, want %s", re.Err, events.UpstreamTimeout)
	}
}
