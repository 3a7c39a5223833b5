package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// spent is the output of usage --json for results.
func (b *bench) spent(args ...string) (s *spending) {
	b.t.Helper()
	out := b.command(0, append([]string{"usage", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return s
}

// of returns the sums of a group; the empty one if there is none.
func (s *spending) of(name string) sums {
	for _, g := range s.Groups {
		if g.Name == name {
			return g.sums
		}
	}
	return sums{}
}

// earned has requests of two models, keys, callbacks and tenants answered, some of them
// with a failure, and one that failed replayed.
func earned(t *testing.T) *bench {
	t.Helper()
	b := setup(t)
	b.set("OPENROUTER_API_KEYS", []string{servicetest.Key + "-1", servicetest.Key + "-2"})
	b.set("CALLBACK_ALLOW", []string{"gemini.responses.a", "gemini.responses.b"})
	b.command(0, "tenants", "set", "acme", "--isolated")
	b.command(0, "tenants", "set", "open")
	b.work()
	toA, toB := map[string]any{"callback_queue": "gemini.responses.a"}, map[string]any{"callback_queue": "gemini.responses.b", "model": "google/gemini-2.5-pro"}
	ids := []string{b.Ask("refused [sim:context_length]", toA), b.Ask("", toA), b.Ask("to the default", nil)}
	for i := range 3 {
		ids = append(ids, b.Ask(fmt.Sprint("one ", i), toA), b.Ask(fmt.Sprint("two ", i, " [sim:empty times=1]"), toB))
	}
	callbackOf := map[string]map[string]any{"open": toA}
	for _, tenant := range []string{"acme", "open", "open"} {
		id := servicetest.NewID()
		m := &nats.Msg{Subject: b.Names.Requests(tenant, events.LaneInteractive), Data: servicetest.Body(id, "of "+tenant+id, callbackOf[tenant])}
		if _, err := b.JS.PublishMsg(b.Context(), m); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	ids = append(ids, b.Ask("fails [sim:503 times=3]", toA))
	b.Collect(b.Names.ResponsesStream(), "", len(ids))
	b.Idle()
	b.expect([]string{"deadletters", "replay", ids[len(ids)-1]}, "1 replayed")
	b.Collect(b.Names.ResponsesStream(), "", len(ids)+1)
	return b
}

// What results cost in all is what OpenRouter has billed, and so is each part of it.
func TestSpendingIsTheBill(t *testing.T) {
	t.Parallel()
	b := earned(t)
	want := map[string]float64{}
	var prompt, completion, cached int64
	for _, c := range b.openrouter.Calls() {
		want[c.ModelUsed] += c.Cost
		want[c.Key[len(c.Key)-4:]] += c.Cost
		prompt, completion, cached = prompt+int64(c.PromptTokens), completion+int64(c.CompletionTokens), cached+int64(c.CachedTokens)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	total := b.spent("--since", "1h").Total
	if bill := b.openrouter.Stats().Cost; !near(total.Cost, bill) || bill == 0 || total.PromptTokens != prompt || total.CompletionTokens != completion || total.CachedTokens != cached {
		t.Errorf("got %+v, want a cost of %v, tokens %d and %d, %d of them cached", total, bill, prompt, completion, cached)
	}
	if total.Requests != 14 || total.Failures != 3 || total.UnknownCost != 2 { // of the latter one was never called for
		t.Errorf("got %+v, want 14 results, 3 failed, 2 of unknown cost", total)
	}
	groups := map[string]map[string]int64{
		"model": {"google/gemini-2.5-flash": 8, "google/gemini-2.5-pro-20260721": 3, "unknown": 3}, "callback": {"gemini.responses": 1, "gemini.responses.a": 9, "gemini.responses.b": 3, "gemini.responses.acme": 1},
		"tenant": {"default": 11, "open": 2, "acme": 1}, "key": {"ef-1": 0, "ef-2": 0, "unknown": 1}, "day": {}, "hour": {},
	}
	for by, counts := range groups {
		s := b.spent("--since", "7d", "--by", by)
		var all sums
		for _, g := range s.Groups {
			all.Requests, all.Failures, all.Cost = all.Requests+g.Requests, all.Failures+g.Failures, all.Cost+g.Cost
			if cost, known := want[g.Name]; known && by == "model" && !near(g.Cost, cost) {
				t.Errorf("%s %s: cost %v, want %v", by, g.Name, g.Cost, cost)
			}
		}
		if all.Requests != total.Requests || all.Failures != total.Failures || !near(all.Cost, total.Cost) || s.Total != total {
			t.Errorf("by %s: the groups are %+v, all together %+v", by, all, total)
		}
		for name, n := range counts {
			if got := s.of(name).Requests; got != n && n > 0 {
				t.Errorf("by %s: %s has %d results, want %d: %+v", by, name, got, n, s.Groups)
			}
		}
	}
	if paid := b.spent("--since", "1h", "--by", "key"); paid.of("ef-1").Cost == 0 || paid.of("ef-2").Cost == 0 {
		t.Errorf("by key: %+v", paid.Groups)
	}
}

// The three ways in which it is shown.
func TestSpendingIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if out := b.command(0, "usage", "--since", "1h"); !strings.Contains(out, "REQUESTS  FAILED  PROMPT") || !strings.Contains(out, "0         0") {
		t.Errorf("before anything:\n%s", out)
	}
	b.work()
	first := b.Result(b.Ask("Why?", nil))
	b.Result(b.Ask("", nil))
	cost := amount(first.Result.Cost)
	out := b.expect([]string{"usage", "--since", "2020-01-31T08:00:00Z", "--by", "key"}, "since 2020-01-31T08:00:00Z", "KEY ", "…cdef ", "unknown ", "(all) ", " "+cost+" ")
	if strings.Contains(out, "older results") || strings.Contains(out, "unknown cost:") {
		t.Errorf("nothing is gone, and every cost is known:\n%s", out)
	}
	lines, err := csv.NewReader(strings.NewReader(b.command(0, "usage", "--since", "1h", "--by", "model", "--csv"))).ReadAll()
	if err != nil || len(lines) != 3 || fmt.Sprint(lines[0]) != "[model requests failures prompt_tokens cached_tokens completion_tokens cost_usd unknown_cost]" || lines[1][0] != "google/gemini-2.5-flash" || lines[1][6] != cost {
		t.Errorf("CSV by model: %v, %v", lines, err)
	}
	lines, err = csv.NewReader(strings.NewReader(b.command(0, "usage", "--since", "1h", "--csv"))).ReadAll()
	if err != nil || len(lines) != 2 || lines[1][0] != "2" || lines[1][5] != cost {
		t.Errorf("CSV: %v, %v", lines, err)
	}
	s, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err == nil {
		err = s.Purge(b.Context(), jetstream.WithPurgeKeep(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	b.expect([]string{"usage", "--since", "1h"}, "older results are gone", "RESULTS_MAX_AGE")
	if s := b.spent("--since", "1h"); s.OldestKept == nil || s.Total.Requests != 1 {
		t.Errorf("got %+v", s)
	}
}

// What somebody else stored among the results is counted as unreadable, and hides none.
func TestSpendingAmongGarbage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	good := b.Result(b.Ask("Why?", nil))
	id := servicetest.NewID()
	garbage := map[string]string{
		"gemini.responses.completed." + id: `{"status":"error"}`, "gemini.responses.failed." + id: `{`, "gemini.responses.x": "{}", "gemini.responses.completed.no-id": string(good.Body),
		"gemini.responses.a.completed." + id: `{"status":"success","cost":-1}`, "gemini.responses.b.completed." + id: `{"status":"success","cost":1e300}`,
		"gemini.responses.c.completed." + id: `{"status":"success","usage":{"prompt_tokens":-5}}`, "gemini.responses.d.completed." + id: strings.Repeat("[", 10_000),
	}
	for subject, body := range garbage {
		b.put(subject, nats.Header{"Status": {"204"}, events.HeaderKey: {"%zz"}}, []byte(body))
	}
	b.put("gemini.responses.e", nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}, nil)
	b.put("gemini.responses.f", nats.Header{"Status": {"503"}}, nil)
	b.put("gemini.responses.g.completed."+id, nats.Header{events.HeaderKey: {"%zz"}}, []byte(`{"status":"success","model_used":"=cmd|' /C calc'!A0","cost":0.5}`))
	s := b.spent("--since", "1h", "--by", "model")
	if s.Unreadable != int64(len(garbage))+2 || s.Total.Requests != 2 || s.Total.Cost != *good.Result.Cost+0.5 {
		t.Errorf("got %+v", s)
	}
	out := b.command(0, "usage", "--since", "1h", "--by", "model", "--csv")
	contains(t, out, "\n'=cmd|", "unreadable: 10 messages")
	b.expect([]string{"usage", "--since", "1h", "--by", "key"}, "…%zz", "…cdef")
}

// Old results have no key and no tenant, and what they say counts all the same.
func TestSpendingOfOldResults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().UTC()
	b.put(events.Completed("gemini.responses", servicetest.NewID()), nil, []byte(`{"status":"success","model_used":"m","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"cost":null,"timestamp":"2001-01-01T00:00:00Z"}`))
	for by, name := range map[string]string{"key": "unknown", "tenant": "default", "model": "m", "day": at.Format(time.DateOnly)} {
		got := b.spent("--since", "1h", "--by", by).of(name)
		if want := (sums{Requests: 1, PromptTokens: 3, CompletionTokens: 4, UnknownCost: 1}); got != want && time.Now().UTC().Day() == at.Day() {
			t.Errorf("%s %s: got %+v, want %+v", by, name, got, want)
		}
	}
	b.expect([]string{"usage", "--since", "1h"}, "unknown cost: 1 results")
}
