package inprocess_test

import (
	"strings"
	"testing"

	"gemini-client/service/config"
)

// The successor refuses penalties, a prefilled answer and tool answers without a name,
// and cannot be told not to reason. Requests that were written for the model before it
// are answered all the same, in one call each, and the log says once what is done. The
// same requests reach the older model as they came.
func TestRequestsFollowTheModel(t *testing.T) {
	t.Parallel()
	const successor = "google/gemini-3.5-flash-lite"
	user := map[string]any{"role": "user", "content": "Why?"}
	for name, of := range map[string]struct {
		request map[string]any
		says    string
	}{
		"penalties": {map[string]any{"openrouter": map[string]any{"frequency_penalty": 0.5, "presence_penalty": 0.5}}, "presence_penalty is left out"},
		"prefill":   {map[string]any{"messages": []any{user, map[string]any{"role": "assistant", "content": "Because"}}}, "(prefill)"},
		"tools": {map[string]any{"messages": []any{
			user,
			map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{"id": "c1", "type": "function", "function": map[string]any{"name": "look", "arguments": "{}"}}}},
			map[string]any{"role": "tool", "tool_call_id": "c1", "content": "blue"},
		}}, "answers of tools get the name"},
		"reasoning": {map[string]any{"openrouter": map[string]any{"reasoning": map[string]any{"effort": "none"}}}, "reasoning.effort none becomes minimal"},
		"insisting": {map[string]any{"parameters": map[string]any{"temperature": 0.1}, "openrouter": map[string]any{"provider": map[string]any{"require_parameters": true}, "presence_penalty": 1}}, "temperature, top_p: left out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.FallbackModels = config.List{successor} })
			b.start()
			if of.request["messages"] != nil {
				of.request["prompt"] = nil
			}
			for range 3 {
				of.request["model"] = successor
				b.answered(b.Ask("Why?", of.request))
			}
			if n := b.openrouter.Count(); n != 3 {
				t.Errorf("calls: got %d, want 3", n)
			}
			b.says(of.says)
			if n := strings.Count(b.log.String(), of.says); n != 1 {
				t.Errorf("the log says it %d times, want once", n)
			}
			if name == "insisting" {
				return // no Gemini endpoint of the older kind has penalties
			}
			of.request["model"] = "google/gemini-2.5-flash"
			b.answered(b.Ask("Why?", of.request))
			calls := b.openrouter.Calls()
			if last := calls[len(calls)-1]; last.ModelUsed != "google/gemini-2.5-flash" || string(last.Body) == strings.Replace(string(calls[0].Body), successor, "google/gemini-2.5-flash", 1) {
				t.Errorf("the older model got the body of the newer: %s", last.Body)
			}
		})
	}
}
