package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// fixed makes every answer the same.
func fixed(text string) func(simulator.Prompt) string {
	return func(simulator.Prompt) string { return text }
}

func TestAccounting(t *testing.T) {
	t.Parallel()
	prompt := strings.Repeat("p", 36) // 9 tokens
	for name, test := range map[string]struct {
		more    fields
		prompt  string
		model   string
		tokens  int
		finish  string
		cost    float64
		content string
	}{
		// 9 prompt and 2 completion tokens cost 0.0000077: a recorded call.
		"as recorded":     {nil, prompt, "google/gemini-2.5-flash", 2, "stop", 0.0000077, "Hello yo"},
		"lite":            {fields{"model": "google/gemini-3.5-flash-lite"}, prompt, "google/gemini-3.5-flash-lite-20260721", 2, "stop", 0.0000077, "Hello yo"},
		"preview":         {fields{"model": "google/gemini-3.1-flash-lite-preview"}, strings.Repeat("p", 44), "google/gemini-3.1-flash-lite-preview-20260303", 2, "stop", 0.00000575, "Hello yo"},
		"dated by name":   {fields{"model": "google/gemini-3.5-flash-lite-20260721"}, prompt, "google/gemini-3.5-flash-lite-20260721", 2, "stop", 0.0000077, "Hello yo"},
		"alias":           {fields{"model": "~google/gemini-flash-latest"}, prompt, "google/gemini-flash-latest-20260721", 2, "stop", 0.0000077, "Hello yo"},
		"unknown model":   {fields{"model": "google/gemini-9"}, prompt, "google/gemini-9-20260721", 2, "stop", 0.0000077, "Hello yo"},
		"free":            {fields{"model": "google/gemini-2.5-flash:free"}, prompt, "google/gemini-2.5-flash:free", 2, "stop", 0, "Hello yo"},
		"no model":        {fields{"model": nil}, prompt, "google/gemini-2.5-flash", 2, "stop", 0.0000077, "Hello yo"},
		"limit":           {fields{"max_tokens": 1}, prompt, "google/gemini-2.5-flash", 1, "length", 0.0000052, "Hell"},
		"the other limit": {fields{"max_completion_tokens": 1}, prompt, "google/gemini-2.5-flash", 1, "length", 0.0000052, "Hell"},
		"limit not hit":   {fields{"max_tokens": 2}, prompt, "google/gemini-2.5-flash", 2, "stop", 0.0000077, "Hello yo"},
		"stop string":     {fields{"stop": "lo"}, prompt, "google/gemini-2.5-flash", 1, "stop", 0.0000052, "Hel"},
		"stop list":       {fields{"stop": []string{"zz", "o"}}, prompt, "google/gemini-2.5-flash", 1, "stop", 0.0000052, "Hell"},
		"cached":          {nil, prompt + "[sim:cached tokens=5]", "google/gemini-2.5-flash", 2, "stop", 0.00000635, "Hello yo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Config{Answer: fixed("Hello yo")})
			got := parse[whole](t, b.chat(t, test.prompt, test.more).body)
			want := len(strings.Split(test.prompt, "[")[0]) / 4
			if got.Usage.PromptTokens != want || got.Usage.CompletionTokens != test.tokens || got.Usage.TotalTokens != want+test.tokens {
				t.Errorf("usage %+v, want %d and %d tokens", got.Usage, want, test.tokens)
			}
			if got.Usage.Cost != test.cost || b.Cost() != test.cost || b.last(t).Cost != test.cost {
				t.Errorf("cost %v, in all %v, of the call %v, want %v", got.Usage.Cost, b.Cost(), b.last(t).Cost, test.cost)
			}
			if got.Model != test.model || b.last(t).ModelUsed != test.model {
				t.Errorf("model %q, of the call %q, want %q", got.Model, b.last(t).ModelUsed, test.model)
			}
			choice := got.Choices[0]
			if choice.FinishReason != test.finish || choice.Message.Content != test.content {
				t.Errorf("finish %q, content %q, want %q, %q", choice.FinishReason, choice.Message.Content, test.finish, test.content)
			}
		})
	}
}

func TestCostsAddUp(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Answer: fixed("Hello yo")})
	prompt := strings.Repeat("p", 36)
	for _, marker := range []string{"", "[sim:503]", "[sim:mid_error after=0]", "[sim:cost_zero]", "[sim:truncate]"} {
		b.chat(t, prompt+marker, fields{"stream": true})
	}
	if want := 0.0000077 * 2; b.Cost() != want {
		t.Errorf("cost %v, want %v: the answer, and the one that was cut short", b.Cost(), want)
	}
	got := parse[struct{ Data struct{ Usage float64 } }](t, b.get(t, "/api/v1/key", testKey).body)
	if got.Data.Usage != b.Cost() {
		t.Errorf("/key says %v, want %v", got.Data.Usage, b.Cost())
	}
}

func TestReasoning(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Answer: fixed("Hello yo")})
	for name, test := range map[string]struct {
		options any
		thinks  bool
	}{
		"absent": {nil, false}, "effort": {fields{"effort": "low"}, true}, "none": {fields{"effort": "none"}, false},
		"budget": {fields{"max_tokens": 100}, true}, "no budget": {fields{"max_tokens": 0}, false},
		"enabled": {fields{"enabled": true}, true}, "excluded": {fields{"enabled": true, "exclude": true}, false},
	} {
		got := parse[whole](t, b.chat(t, name, fields{"reasoning": test.options}).body)
		if thinks := got.Choices[0].Message.Reasoning != ""; thinks != test.thinks || (got.Usage.Details.ReasoningTokens > 0) != test.thinks {
			t.Errorf("%s: reasoning %q, usage %+v", name, got.Choices[0].Message.Reasoning, got.Usage)
		}
	}
	limited := parse[whole](t, b.chat(t, "limited", fields{"reasoning": fields{"enabled": true}, "max_tokens": 3}).body)
	if limited.Choices[0].FinishReason != "length" || limited.Choices[0].Message.Content != "" || limited.Usage.CompletionTokens != 3 {
		t.Errorf("thought takes from max_tokens: %+v", limited)
	}
}

func TestTheDefaultAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	ask := func(prompt string, more fields) string {
		return parse[whole](t, b.chat(t, prompt, more).body).Choices[0].Message.Content
	}
	first := ask("Why is the sky blue?", nil)
	if !strings.Contains(first, `"Why is the sky blue?"`) || strings.Count(first, ".") < 4 {
		t.Errorf("answer %q, want several sentences that quote the prompt", first)
	}
	if again := ask("Why is the sky blue?", nil); again != first {
		t.Errorf("the same prompt was answered by %q and by %q", first, again)
	}
	if streamed := content(t, b.chat(t, "Why is the sky blue?", fields{"stream": true}).body); streamed != first {
		t.Errorf("streamed %q, whole %q", streamed, first)
	}
	asJSON := ask("Why?", fields{"response_format": fields{"type": "json_object"}})
	if parse[map[string]string](t, asJSON)["answer"] == "" {
		t.Errorf("answer %q, want JSON", asJSON)
	}
}

func TestAnswerIsAskedWithThePrompt(t *testing.T) {
	t.Parallel()
	prompts := make(chan simulator.Prompt, 1)
	b := start(t, simulator.Config{Answer: func(p simulator.Prompt) string {
		prompts <- p
		return "ok"
	}})
	parts := []any{
		fields{"type": "text", "text": "one [sim:dated]"},
		fields{"type": "image_url", "image_url": fields{"url": "data:"}},
		fields{"type": "text", "text": "two"},
	}
	got := b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", testKey, chatBody("", fields{"max_tokens": 7, "messages": []any{
		fields{"role": "system", "content": "be brief"},
		fields{"role": "user", "content": "earlier"},
		fields{"role": "user", "content": parts},
		fields{"role": "assistant", "content": nil},
	}}))
	p := <-prompts
	if p.Text != "one  \ntwo" || p.Model != "google/gemini-2.5-flash" || p.MaxTokens != 7 || !strings.Contains(string(p.Body), "be brief") {
		t.Errorf("prompt %+v", p)
	}
	if usage := parse[whole](t, got.body).Usage; usage.PromptTokens != 2+2+3+258 {
		t.Errorf("prompt tokens %d, want those of the texts and 258 for the image", usage.PromptTokens)
	}
}

func TestCallsAreRemembered(t *testing.T) {
	t.Parallel()
	var ended []simulator.Call
	b := start(t, simulator.Config{Answer: fixed("Hello yo"), OnCall: func(c simulator.Call) { ended = append(ended, c) }})
	before := time.Now()
	got := b.chat(t, "why? [sim:dated]", fields{"stream": true, "models": []string{"google/gemini-3.5-flash-lite"}})
	c := b.last(t)
	if c.Number != 1 || c.Key != testKey || c.Prompt != "why? [sim:dated]" || c.Model != "google/gemini-2.5-flash" || !c.Stream {
		t.Errorf("asked: %+v", c)
	}
	if c.Status != 200 || c.Outcome != "dated" || c.Fault != "dated" || c.GenerationID != got.header.Get("X-Generation-Id") {
		t.Errorf("answered: %+v", c)
	}
	if c.At.Before(before) || c.Ended.Before(c.At) || c.FinishReason != "stop" || c.NativeFinishReason != "STOP" {
		t.Errorf("ended: %+v", c)
	}
	if c.Header.Get("Authorization") == "" || !strings.Contains(string(c.Body), `"models"`) {
		t.Errorf("kept: header %v, body %s", c.Header, c.Body)
	}
	b.chat(t, "why?", nil)
	b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", "", "{}")
	outcomes := ""
	for _, c := range ended {
		outcomes += c.Outcome + ","
	}
	if outcomes != "dated,completed,unauthorized," {
		t.Errorf("OnCall got %s", outcomes)
	}
}

// After a wait for no calls in flight, OnCall has been called with every call.
func TestOnCallComesBeforeTheEnd(t *testing.T) {
	t.Parallel()
	var b *bench
	told := make(chan int, 1)
	b = start(t, simulator.Config{OnCall: func(simulator.Call) { told <- b.Stats().InFlight }})
	b.chat(t, "why?", nil)
	if n := <-told; n != 1 {
		t.Errorf("%d calls in flight when OnCall got the only one, want 1", n)
	}
}

func TestHistoryForgets(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{History: 2})
	release := b.Hold()
	held := make(chan answer)
	go func() { held <- b.chat(t, "held", nil) }()
	b.await(t, func(s simulator.Stats) bool { return s.Held == 1 })
	// Two more, which push the first out while it is in flight.
	for range 2 {
		go func() { held <- b.chat(t, "another", nil) }()
	}
	b.await(t, func(s simulator.Stats) bool { return s.Held == 3 })
	release()
	statuses := make(map[int]int)
	for range 3 {
		id := (<-held).header.Get("X-Generation-Id")
		statuses[b.get(t, "/api/v1/generation?id="+id, testKey).status]++
	}
	if statuses[404] != 1 || statuses[200] != 2 {
		t.Errorf("generations found and not: %v, want the oldest forgotten", statuses)
	}
	if len(b.Calls()) != 2 || b.Count() != 3 || b.CountFor("held") != 0 || b.CountFor("another") != 2 {
		t.Errorf("%d remembered of %d, %d held, %d others", len(b.Calls()), b.Count(), b.CountFor("held"), b.CountFor("another"))
	}
	b.chat(t, "third", nil)
	if b.CountFor("another") != 1 || b.CountFor("third") != 1 {
		t.Errorf("%d others, %d third", b.CountFor("another"), b.CountFor("third"))
	}
}
