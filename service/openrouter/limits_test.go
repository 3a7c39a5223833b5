package openrouter_test

import (
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

func TestCompleteLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	endless := strings.Repeat(data(delta(`"content":"`+long[:50]+`"`, "")), 10)
	tests := map[string]struct {
		body    string
		message string
	}{
		"answer":                   {endless, "answer exceeds 200 bytes"},
		"reasoning":                {strings.ReplaceAll(endless, `"content"`, `"reasoning"`), "answer exceeds 200 bytes"},
		"tool arguments":           {strings.Repeat(data(delta(`"tool_calls":[{"index":0,"function":{"arguments":"`+long[:50]+`"}}]`, "")), 5), "answer exceeds 200 bytes"},
		"tool calls":               {strings.Repeat(data(delta(`"tool_calls":[{"index":0,"id":"a"}]`, ""), delta(`"tool_calls":[{"index":0,"id":"b"}]`, "")), 5), "answer exceeds 200 bytes"},
		"document":                 {`{"choices":[{"message":{"content":"` + long + `"}}]}`, "answer exceeds 200 bytes"},
		"rest of a document":       {`{"debug":"` + long + `","choices":[{"message":{"content":"a"}}]}`, "answer exceeds 200 bytes"},
		"line":                     {"data: " + long, "line of the stream exceeds 256 bytes"},
		"comment":                  {":" + long, "line of the stream exceeds 256 bytes"},
		"event of several lines":   {strings.Repeat("data: "+long[:90]+"\n", 3) + "\n", "line of the stream exceeds 256 bytes"},
		"event of countless lines": {strings.Repeat("data: 1\n", 300), "line of the stream exceeds 256 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, openrouter.Config{Transport: text(tt.body).transport(t), MaxAnswerBytes: 200, MaxLineBytes: 256})
			got := ask(t, client)
			if got.err == nil || got.err.Kind != openrouter.KindTooLarge || got.err.Message != tt.message || got.err.Retryable {
				t.Errorf("got %+v, %v; want too_large: %s", got.Completion, got.err, tt.message)
			}
			if n := len(strings.Join(got.pieces, "")); n > 200 {
				t.Errorf("%d bytes were passed on", n)
			}
		})
	}
}

// TestLineLongerThanTheBuffer has lines that the reader has to put together.
func TestLineLongerThanTheBuffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 5_000)
	got := ask(t, newClient(t, openrouter.Config{Transport: text(data(delta(`"content":"`+long+`"`, ""), delta(`"content":"!"`, "stop"))).transport(t)}))
	if got.err != nil || got.Content != long+"!" {
		t.Errorf("got %d bytes, error %v", len(got.Content), got.err)
	}
}
