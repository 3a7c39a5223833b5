package inprocess_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gemini-client/service/config"
)

// What is spent while OpenRouter misbehaves is spent: failed attempts count,
// those that are repeated and the one that ends the call.
func TestFailedAttemptsAreBilled(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.MaxRetries = 0 })
	r := b.start()
	got := b.Result(b.Ask("no end [sim:empty]", nil))
	b.Idle()
	if got.Result.Cost == nil || *got.Result.Cost <= 0 {
		t.Fatalf("result: %s: the test needs a failure that was billed", got.Body)
	}
	text, _ := r.get("/metrics")
	match := regexp.MustCompile(`\ngemini_cost_total\{[^}]*\} (\S+)\n`).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("a scrape shows no cost:\n%s", text)
	}
	cost, err := strconv.ParseFloat(match[1], 64)
	if want := b.openrouter.Cost(); err != nil || math.Abs(cost-want) > want/1e6 || b.openrouter.Count() != 3 {
		t.Errorf("cost of %d attempts: got %v (%v), want %v", b.openrouter.Count(), cost, err, want)
	}
	line := regexp.MustCompile(`"msg":"request failed".*`).FindString(b.log.String())
	for _, want := range []string{`"cost":`, `"tokens_in":`, `"tokens_out":`} {
		if !strings.Contains(line, want) {
			t.Errorf("log line %s: want %s in it", line, want)
		}
	}
	for _, s := range b.spans.GetSpans() {
		attrs := attributes(s)
		if strings.HasPrefix(s.Name, "chat ") && (attrs["openrouter.usage.cost"] == "" || attrs["gen_ai.response.id"] == "" || attrs["gen_ai.usage.output_tokens"] == "") {
			t.Errorf("span %s lacks usage or cost: %v", s.Name, attrs)
		}
	}
}
