package upstream

import (
	"encoding/json"
	"strings"
	"testing"

	"gemini-client/events"
)

// No text that tells of a failure quotes the request: texts go to logs and
// spans (promise 7).
func TestWithoutEcho(t *testing.T) {
	t.Parallel()
	const mark = "… (the rest quotes the request)"
	long := "Tell me the launch code of the moon base, please."
	prompt := func(text string) events.Request { return events.Request{Prompt: text} }
	list := func(text string) events.Request { return events.Request{Messages: json.RawMessage(text)} }
	tests := map[string]struct {
		message string
		request events.Request
		want    string
	}{
		"no quotation":                   {"OpenRouter answered 400: temperature.", prompt(long), "OpenRouter answered 400: temperature."},
		"nothing to quote":               {"OpenRouter answered 400: temperature.", events.Request{}, "OpenRouter answered 400: temperature."},
		"all of it":                      {"Bad prompt: " + long, prompt(long), "Bad prompt: " + mark},
		"a piece of 24 bytes":            {"Bad:" + long[8:32] + "!", prompt(long), "Bad:" + mark},
		"a piece of 23 bytes":            {"Bad:" + long[8:31] + "!", prompt(long), "Bad:" + long[8:31] + "!"},
		"at its very end":                {"Bad: " + long[len(long)-24:], prompt(long), "Bad: " + mark},
		"at the text's beginning":        {long, prompt(long), mark},
		"the first of two":               {"A " + long[:24] + " B " + long[24:], prompt(long), "A " + mark},
		"24 bytes in all":                {"Bad: " + long[:24], prompt(long[:24]), "Bad: " + mark},
		"a short prompt":                 {"Bad: secret.", prompt("secret"), "Bad: " + mark},
		"a short prompt, a piece of it":  {"Bad: launch.", prompt("launch code"), "Bad: launch."},
		"five bytes are too common":      {"Bad: error.", prompt("error"), "Bad: error."},
		"a short prompt, white space":    {"Bad: 0 0 0 0.", prompt("\n0\t0  0 0 \n"), "Bad: " + mark},
		"lines become one":               {"Bad: one short line another short line", prompt("one short line\n\nanother short line\n"), "Bad: " + mark},
		"in the middle of a character":   {"Bad: (é" + strings.Repeat("x", 23), prompt("ĩ" + strings.Repeat("x", 23)), "Bad: (" + mark}, // é and ĩ end with the same byte
		"system instruction":             {"Bad: " + long, events.Request{Prompt: "hi", SystemInstruction: long}, "Bad: " + mark},
		"a short system instruction":     {"Bad: be rude.", events.Request{Prompt: long, SystemInstruction: "be rude"}, "Bad: " + mark},
		"messages":                       {"Bad: " + long, list(`[{"role":"user","content":"` + long + `"}]`), "Bad: " + mark},
		"messages as they were sent":     {`Bad: [{"role":"user","content":"hi"}]`, list(`[{"role":"user","content":"hi"}]`), "Bad: " + mark},
		"messages with escapes":          {"Bad: секрет", list(`[{"role":"user","content":"\u0441\u0435\u043a\u0440\u0435\u0442"}]`), "Bad: " + mark},
		"a quotation mark in messages":   {`Bad: say "x" to no`, list(`[{"role":"user","content":"say \"x\" to no"}]`), "Bad: " + mark},
		"parts of a message":             {"Bad: secret.", list(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"secret"}]}]`), "Bad: " + mark},
		"roles and types are no secrets": {"Bad: assistant image_url.", list(`[{"role":"assistant","content":[{"type":"image_url"}]}]`), "Bad: assistant image_url."},
		"odd messages":                   {"Bad: secret.", list(`[{"role":"user","content":7},{"content":"secret"}]`), "Bad: " + mark},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := withoutEcho(tt.message, &tt.request); got != tt.want {
				t.Errorf("%q, of %+v:\n got %q\nwant %q", tt.message, tt.request, got, tt.want)
			}
		})
	}
}
