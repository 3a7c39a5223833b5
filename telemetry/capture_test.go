package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const conversation = `[
	{"role":"system","content":"be kind"},
	{"role":"user","content":[{"type":"text","text":"what is <this>?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"file","file":{"file_data":"BBBB"}}]},
	{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{ \"at\": 1 }"}},{"id":"c2","type":"function","function":{"name":"guess","arguments":"not json"}}]},
	{"role":"tool","tool_call_id":"c1","content":"a cat"},
	{"role":"user","content":""}
]`

func TestCapture(t *testing.T) {
	tests := []struct {
		name                        string
		info                        ChatInfo
		result                      ChatResult
		instructions, input, output string
	}{
		{
			name: "a prompt",
			info: ChatInfo{Instruction: "be brief", Prompt: "why?"}, result: ChatResult{Content: "because", FinishReason: "stop"},
			instructions: `[{"type":"text","content":"be brief"}]`,
			input:        `[{"role":"user","parts":[{"type":"text","content":"why?"}]}]`,
			output:       `[{"role":"assistant","parts":[{"type":"text","content":"because"}],"finish_reason":"stop"}]`,
		},
		{
			name: "a conversation",
			info: ChatInfo{Messages: json.RawMessage(conversation)},
			result: ChatResult{
				Reasoning: "hm", FinishReason: "tool_calls",
				ToolCalls: json.RawMessage(`[{"id":"c3","type":"function","function":{"name":"pet","arguments":"{}"}}]`),
			},
			input: `[{"role":"system","parts":[{"type":"text","content":"be kind"}]},` +
				`{"role":"user","parts":[{"type":"text","content":"what is <this>?"},{"type":"image_url"},{"type":"file"}]},` +
				`{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"look","arguments":{"at":1}},{"type":"tool_call","id":"c2","name":"guess","arguments":"not json"}]},` +
				`{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"a cat"}]},` +
				`{"role":"user","parts":[{"type":"text","content":""}]}]`,
			output: `[{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"tool_call","id":"c3","name":"pet","arguments":{}}],"finish_reason":"tool_call"}]`,
		},
		{
			name: "a refusal", info: ChatInfo{Prompt: "x"}, result: ChatResult{Refusal: "no"},
			input:  `[{"role":"user","parts":[{"type":"text","content":"x"}]}]`,
			output: `[{"role":"assistant","parts":[{"type":"refusal","content":"no"}],"finish_reason":"error"}]`,
		},
		{
			name: "a key", info: ChatInfo{Prompt: "my key is " + secretKey}, result: ChatResult{Content: "x", FinishReason: "length"},
			input:  `[{"role":"user","parts":[{"type":"text","content":"my key is sk-or-…cdef"}]}]`,
			output: `[{"role":"assistant","parts":[{"type":"text","content":"x"}],"finish_reason":"length"}]`,
		},
		{
			name: "a failure", info: ChatInfo{Prompt: "x"}, result: ChatResult{Err: errors.New("y")},
			input: `[{"role":"user","parts":[{"type":"text","content":"x"}]}]`,
		},
		{name: "no list", info: ChatInfo{Messages: json.RawMessage(`{}`)}, result: ChatResult{ErrorType: "internal"}},
	}
	t.Setenv(captureVariable, "true")
	b := setup(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.info.Model = test.name
			_, chat := b.StartChat(t.Context(), test.info)
			chat.End(test.result)
			got := attributesOf(b.span(t, "chat "+test.name).Attributes)
			for key, want := range map[string]string{"gen_ai.system_instructions": test.instructions, "gen_ai.input.messages": test.input, "gen_ai.output.messages": test.output} {
				if got[key] != want {
					t.Errorf("%s is\n%s, want\n%s", key, got[key], want)
				}
			}
		})
	}
	if n := strings.Count(b.log.String(), "prompts and answers are being recorded"); n != 1 {
		t.Errorf("the log says %d times that prompts are recorded, want once", n)
	}
}

func TestCaptureIsOptIn(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "false": false, "no_content": false, "NO_CONTENT": false,
		"true": true, "True": true, "span_only": true, "SPAN_AND_EVENT": true,
	} {
		t.Run(value, func(t *testing.T) {
			t.Setenv(captureVariable, value)
			b := setup(t, Config{})
			_, chat := b.StartChat(t.Context(), ChatInfo{Model: "m", Instruction: "my secret", Prompt: "my secret"})
			chat.End(ChatResult{Content: "my secret"})
			if got := strings.Count(fmt.Sprint(b.span(t, "chat m").Attributes), "my secret"); (got == 3) != want || got > 0 && !want {
				t.Errorf("the span holds %d texts, want them: %v", got, want)
			}
			if warned := strings.Contains(b.log.String(), "level=WARN"); warned != want {
				t.Errorf("a warning: %v, want %v: %s", warned, want, b.log)
			}
		})
	}
}

// With tracing off nothing is recorded, so nothing is said.
func TestCaptureWithoutTracing(t *testing.T) {
	t.Setenv(captureVariable, "true")
	log := &buffer{}
	tel, err := Setup(t.Context(), Config{Output: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if tel.capture || log.String() != "" {
		t.Errorf("capture is %v, and the log says %q", tel.capture, log)
	}
}

func TestCaptureIsBounded(t *testing.T) {
	t.Setenv(captureVariable, "span_only")
	long := strings.Repeat("ä", captureText) // twice the limit, in bytes
	var many []map[string]any
	for n := range 50 {
		many = append(many, map[string]any{"role": "user", "content": fmt.Sprint(n, " ", long)})
	}
	messages, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	word := strings.Repeat("ä", captureWord)
	flood := json.RawMessage(`[{"role":"user","content":[` + strings.Repeat(`{"type":"`+word+`"},`, 10*captureParts) + `{}]}]`)
	empty := json.RawMessage(`[` + strings.Repeat(`{"role":"`+word+`"},`, 10*captureParts) + `{}]`)
	calls := strings.Repeat(`{"id":"`+word+`","function":{"name":"`+word+`","arguments":"\"`+word+`\""}},`, 2*captureParts)
	b := setup(t, Config{})
	for name, info := range map[string]ChatInfo{
		"long": {Instruction: "x" + long, Prompt: long}, "many": {Messages: messages}, "flood": {Messages: flood}, "empty": {Messages: empty},
	} {
		info.Model = name
		_, chat := b.StartChat(t.Context(), info)
		chat.End(ChatResult{Content: long, FinishReason: long, ToolCalls: json.RawMessage("[" + strings.TrimSuffix(calls, ",") + "]")})
		wantBounded(t, b.span(t, "chat "+name))
	}
	got := attributesOf(b.span(t, "chat long").Attributes)
	if want := `[{"role":"user","parts":[{"type":"text","content":"` + long[:captureText] + `…"}]}]`; got["gen_ai.input.messages"] != want {
		t.Error("a text is not cut at its limit")
	}
	if want := `[{"type":"text","content":"x` + long[:captureText-2] + `…"}]`; got["gen_ai.system_instructions"] != want {
		t.Error("a text is not cut between two runes")
	}
	if got := attributesOf(b.span(t, "chat many").Attributes)["gen_ai.input.messages"]; !strings.Contains(got, `"49 ä`) || strings.Contains(got, `"0 ä`) {
		t.Errorf("it is not the newest messages that are kept: %.100s", got)
	}
}

func wantBounded(t *testing.T, span tracetest.SpanStub) {
	t.Helper()
	for key, text := range attributesOf(span.Attributes) {
		if !strings.HasSuffix(key, "messages") && !strings.HasSuffix(key, "instructions") {
			continue
		}
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			t.Errorf("%s of %s is no JSON: %.100s", key, span.Name, text)
		}
		if most := captureTotal + captureParts*(3*captureWord+100); len(text) > most {
			t.Errorf("%s of %s has %d bytes, want at most %d", key, span.Name, len(text), most)
		}
	}
}
