package inprocess_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// What a person on call reads when a call fails: a sentence that says what
// happened and what comes next, the way out where there is one, and no stack.
func TestFailuresReadAsSentences(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, marker string
		lines        []string // patterns of messages, in this order
		wayOut       string
	}{
		{"429 of the platform with its wait", "[sim:429_platform reset=2s times=1]", []string{
			`^OpenRouter limits our calls \(429\) and asks to wait [\d.]+s: the key cools down for [\d.]+s$`,
			`^OpenRouter limits our calls \(429\) and asks to wait [\d.]+s: the call is repeated at once, with another key if one is free$`,
			`^request completed$`,
		}, ""},
		{"429 with its wait", "[sim:429 retry_after=1 times=1]", []string{
			`^the provider behind OpenRouter is at its limit \(429\) and asks to wait 1s: the model rests with this key for 1s$`,
			`^the provider behind OpenRouter is at its limit \(429\) and asks to wait 1s: the call is repeated at once, with another key if one is free$`,
			`^request completed$`,
		}, ""},
		{"429 of a provider", "[sim:429_provider times=1]", []string{`^the provider behind OpenRouter is at its limit \(429\): the call is repeated in [\d.]+m?s$`, `^request completed$`}, ""},
		{"402", "[sim:402]", []string{
			`^the credit of the key or its account is used up \(402\): the key cools down for 5m0s$`,
			`^the credit .* \(402\): the call is repeated (at once, with another key if one is free|with the first key that is free, in .*)$`,
			`^request failed$`,
		}, "openrouter.ai/settings/credits"},
		{"401", "[sim:401]", []string{
			`^OpenRouter does not accept the key \(401\): the call is repeated at once, with another key if one is free$`,
			`^OpenRouter does not accept the key \(401\): the key cools down for 1m0s$`,
			`^request failed$`,
		}, "openrouter.ai/settings/keys"},
		{"503", "[sim:503]", []string{
			`^OpenRouter or the provider behind it is failing \(503\): the call is repeated in [\d.]+m?s$`,
			`^OpenRouter or .* \(503\): the call is repeated in [\d.]+m?s$`,
			`^request failed$`,
		}, "deadletters replay --code upstream_unavailable"},
		{"504", "[sim:504 times=1]", []string{`^OpenRouter gave up waiting for the provider \(504\): the call is repeated`, `^request completed$`}, ""},
		{"no token", "[sim:hang_after_headers times=1]", []string{`^no token came within FIRST_TOKEN_TIMEOUT: the call is repeated`, `^request completed$`}, ""},
		{"silence", "[sim:stall times=1]", []string{`^the answer stopped for longer than TOKEN_GAP_TIMEOUT: the call is repeated`, `^request completed$`}, ""},
		{"broken off", "[sim:cut times=1]", []string{`^the answer broke off in the middle: the call is repeated`, `^request completed$`}, ""},
		{"a key's limit", "[sim:403_key_limit]", []string{`^the limit of the key is used up \(403\): the key cools down for 5m0s$`, `^request failed$`}, "raise the key's limit (https://openrouter.ai/settings/keys), or give the service another key, then: gemini-client deadletters replay --code insufficient_credits"},
		{"a data policy", "[sim:404_data_policy]", []string{`^request failed$`}, "allow an endpoint of the model in the account's data policy"},
		{"a retired model", "[sim:model_deprecated]", []string{`^request failed$`}, "OPENROUTER_FALLBACK_MODELS for those that name this one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) {
				c.MaxRetries = 0
				c.APIKeys = []string{servicetest.Key + "-1", servicetest.Key + "-2"}
				if silent := strings.Contains(test.marker, "hang") || strings.Contains(test.marker, "stall"); silent {
					c.FirstTokenTimeout, c.TokenGapTimeout = 500*time.Millisecond, 500*time.Millisecond
				}
			})
			r := b.start()
			b.Result(b.Ask("hello "+test.marker, nil))
			b.Idle()
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			lines := b.logLines()
			at := 0
			for _, want := range test.lines {
				pattern := regexp.MustCompile(want)
				for at < len(lines) && !pattern.MatchString(lines[at].Message) {
					at++
				}
				if at == len(lines) {
					t.Fatalf("no line matches %s (in this order)", want)
				}
			}
			if !strings.Contains(lines[at].WayOut, test.wayOut) || test.wayOut == "" && lines[at].WayOut != "" {
				t.Errorf("way out of %q: got %q, want %q", lines[at].Message, lines[at].WayOut, test.wayOut)
			}
			if strings.Contains(b.log.String(), "goroutine ") {
				t.Error("the log has a stack trace")
			}
		})
	}
}

// logLine is what matters of a line above DEBUG.
type logLine struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	WayOut  string `json:"way_out"`
}

func (b *bench) logLines() []logLine {
	b.t.Helper()
	var lines []logLine
	for text := range strings.Lines(b.log.String()) {
		var line logLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			b.t.Fatalf("a log line is no JSON: %v: %s", err, text)
		}
		if !strings.HasPrefix(line.Level, "DEBUG") {
			lines = append(lines, line)
		}
	}
	return lines
}
