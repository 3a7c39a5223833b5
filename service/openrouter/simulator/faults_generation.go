package simulator

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// generationFaults change what the model generates; the answer is then sent as always, streamed or whole.
func generationFaults() []kind {
	return []kind{
		{
			name: "finish_error", shape: malformedCall,
			about: "finish_reason error, native MALFORMED_FUNCTION_CALL, junk text, no error object",
		},
		{name: "choice_error", about: "half an answer, then choices[0].error", shape: choiceError, params: []param{codeOrWord(), typed()}},
		{
			name: "empty", about: "no token at all, finish_reason stop",
			params: []param{{
				name: "finish", value: "stop", oneOf: "stop|null",
				about: "stop, the prompt is billed; null, nothing is",
			}},
			shape: emptyAnswer,
		},
		{
			name: "content_filter", about: "empty content, finish_reason content_filter, cost 0", unbilled: true,
			params: []param{{name: "native", value: "SAFETY", about: "native_finish_reason, such as PROHIBITED_CONTENT"}},
			shape: func(g *generation, a args) {
				g.empty()
				g.finish, g.native = "content_filter", a["native"]
			},
		},
		{
			name: "tools", about: "parallel tool calls, in fragments; finish_reason tool_calls", shape: toolCalls,
			params: []param{
				{name: "count", value: "2", form: whole, about: "how many, 1 to 16"},
				{name: "order", value: "sequential", oneOf: "sequential|interleaved", about: "sequential or interleaved"},
			},
		},
		{
			name: "reasoning", about: "reasoning deltas before the answer",
			shape: func(g *generation, _ args) { g.reasoning = defaultReasoning },
		},
		{
			name: "huge", about: "an answer of so many bytes, whatever max_tokens says",
			params: []param{
				{name: "bytes", value: "1048576", form: whole, about: "how many"},
				{name: "chunk", value: "4096", form: whole, about: "bytes in one event"},
			},
			shape: func(g *generation, a args) { g.grow(a.number("bytes"), max(1, a.number("chunk"))) },
		},
		{
			name: "huge_line", about: "the same in one event, on one line",
			params: []param{{name: "bytes", value: "1048576", form: whole, about: "how many"}},
			shape:  func(g *generation, a args) { g.grow(a.number("bytes"), max(1, a.number("bytes"))) },
		},
		{name: "cost_zero", about: "an answer that costs nothing", unbilled: true},
		{
			name: "cached", about: "a part of the prompt was cached, and is cheaper",
			params: []param{{name: "tokens", value: "1024", form: whole, about: "how many tokens, at most the prompt's"}},
			shape:  func(g *generation, a args) { g.cached = min(a.number("tokens"), g.prompt) },
		},
		{
			name: "dated", about: "the answer names a dated model, though the request did not",
			params: []param{{name: "date", value: "20260303", about: "the date"}},
			shape:  func(g *generation, a args) { g.model = strings.TrimSuffix(g.model, datedSuffix) + "-" + a["date"] },
		},
	}
}

func malformedCall(g *generation, _ args) {
	g.content, g.reasoning = "<ctrl46>", ""
	g.output = tokens(g.content)
	g.finish, g.native = "error", "MALFORMED_FUNCTION_CALL"
}

func choiceError(g *generation, a args) {
	g.content = firstRunes(g.content, len([]rune(g.content))/2)
	g.output = tokens(g.content)
	g.finish, g.native = "error", ""
	g.problem = eventError(a, disconnected)
}

// streamError is an error inside an answer whose status is 200; a 500 is masked.
func streamError(status int, message string) *apiError {
	if status == 500 {
		message = "Internal Server Error"
	}
	return &apiError{Code: status, Message: message, Metadata: map[string]any{"error_type": errorType(status)}}
}

// toolCalls replaces the text by calls of the request's tools.
func toolCalls(g *generation, a args) {
	g.content, g.output = "", 0
	g.finish = "tool_calls"
	g.interleaved = a["order"] == "interleaved"
	for i := range min(max(a.number("count"), 1), 16) {
		name := fmt.Sprintf("simulated_%d", i)
		if i < len(g.toolNames) {
			name = g.toolNames[i]
		}
		call := toolCall{
			Type: "function", Index: i, ID: "tool_" + name + "_" + rand.Text()[:20],
			Function: toolFunction{Name: name, Arguments: fmt.Sprintf(`{"a":%d,"b":"simulated"}`, i)},
		}
		g.output += tokens(name) + tokens(call.Function.Arguments)
		g.tools = append(g.tools, call)
	}
}

func emptyAnswer(g *generation, a args) {
	g.empty()
	if a["finish"] == "null" {
		g.finish, g.native = "", ""
	}
}

// empty removes everything that was generated.
func (g *generation) empty() { g.content, g.reasoning, g.output = "", "", 0 }

// grow replaces the text by one of so many bytes, sent in pieces.
func (g *generation) grow(size, piece int) {
	const pattern = "All work and no play makes Jack a dull boy. "
	g.content = strings.Repeat(pattern, size/len(pattern)+1)[:size]
	g.pieceSize = piece
	g.output = tokens(g.content)
	g.finish, g.native = "stop", "STOP"
}
