package openrouter_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gemini-client/service/openrouter"
)

func paid(prompt, completions float64) *openrouter.CostDetails {
	return &openrouter.CostDetails{UpstreamPrompt: &prompt, UpstreamCompletions: &completions}
}

func TestCompleteAnswers(t *testing.T) {
	t.Parallel()
	helloUsage := &openrouter.Usage{
		PromptTokens: 9, CompletionTokens: 2, TotalTokens: 11, CachedTokens: new(int64(0)), ReasoningTokens: new(int64(0)), Cost: new(0.0000077), AudioTokens: new(int64(0)), CostDetails: paid(2.7e-06, 5e-06),
	}
	greeting := openrouter.Completion{
		ID: "gen-1773273600-aBcDeFgHiJkLmNoPqRsT", Model: "google/gemini-2.5-flash", Provider: "Google", Content: "Hello, wörld!",
		FinishReason: "stop", NativeFinishReason: "STOP", Usage: helloUsage,
	}
	hi := openrouter.Completion{ID: "gen-1", Model: "m", Provider: "P", Content: "Hi", FinishReason: "stop"}
	with := func(c openrouter.Completion, change func(*openrouter.Completion)) openrouter.Completion {
		change(&c)
		return c
	}
	const hiChunk = `{"id":"gen-1","model":"m","provider":"P","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}`
	broken := func(body string) reply {
		return reply{steps: []step{{data: body}, {err: io.ErrUnexpectedEOF}}}
	}
	typed := func(contentType, body string) reply {
		return reply{header: map[string]string{"Content-Type": contentType}, steps: []step{{data: body}}}
	}
	tests := map[string]struct {
		reply reply
		want  openrouter.Completion
	}{
		"comments first, usage chunk with a choice that repeats the finish": {text(testdata(t, "text.sse")), greeting},
		"usage chunk without a choice":                                      {text(testdata(t, "text_usage_without_choice.sse")), greeting},
		"dated model, null content, parallel tool calls in fragments, native STOP": {text(testdata(t, "tools_parallel.sse")), openrouter.Completion{
			ID: greeting.ID, Model: "google/gemini-3.1-flash-lite-preview-20260303", Provider: "Google AI Studio",
			ToolCalls: []byte(`[{"id":"call_a","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}},` +
				`{"id":"call_b","type":"function","function":{"name":"add","arguments":"{\"a\":1,\"b\":2}"}}]`),
			FinishReason: "tool_calls", NativeFinishReason: "STOP",
			Usage: &openrouter.Usage{PromptTokens: 61, CompletionTokens: 30, TotalTokens: 91, CachedTokens: new(int64(0)), ReasoningTokens: new(int64(0)), Cost: new(0.000093), AudioTokens: new(int64(0)), CostDetails: paid(1.8299999999999998e-05, 7.500000000000001e-05)},
		}},
		"reasoning deltas": {text(testdata(t, "reasoning.sse")), with(greeting, func(c *openrouter.Completion) {
			c.Content, c.Reasoning = "42", "Let me think."
			c.Usage = &openrouter.Usage{PromptTokens: 12, CompletionTokens: 80, TotalTokens: 92, CachedTokens: new(int64(4)), ReasoningTokens: new(int64(78)), Cost: new(0.0002036), AudioTokens: new(int64(0)), CostDetails: paid(3.6e-06, 0.0002)}
		})},
		"reasoning details where reasoning is absent": {
			text(data(delta(`"reasoning_details":[{"type":"reasoning.text","text":"a"},{"type":"reasoning.summary","summary":"b"},{"data":"x"}]`, ""), hiChunk)),
			with(hi, func(c *openrouter.Completion) { c.Reasoning = "ab" }),
		},
		"document after keep-alive white space":      {typed("application/json", testdata(t, "document_padded.json")), greeting},
		"document though the type says event stream": {typed("text/event-stream", testdata(t, "document_padded.json")), greeting},
		"document with tool calls, one without an index": {text(testdata(t, "document_tools.json")), with(greeting, func(c *openrouter.Completion) {
			c.Content, c.FinishReason = "", "tool_calls"
			c.ToolCalls = []byte(`[{"id":"call_a","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}},` +
				`{"id":"","type":"function","function":{"name":"add","arguments":"{}"}}]`)
		})},
		"content on the finish chunk":              {text(data(hiChunk, "[DONE]")), hi},
		"repeated finish does not become stopstop": {text(data(hiChunk, delta("", "stop"), delta("", "tool_calls"), "[DONE]")), hi},
		"end after the finish without [DONE]":      {text(data(hiChunk)), hi},
		"reset after the finish":                   {broken(data(hiChunk)), hi},
		"half an event after the finish":           {text(data(hiChunk) + `data: {"usa`), hi},
		"not JSON after the finish":                {text(data(hiChunk, "oops", "[DONE]")), hi},
		"[DONE] without a finish":                  {text(data(delta(`"content":"Hi"`, ""), "[DONE]")), with(hi, func(c *openrouter.Completion) { c.FinishReason = "" })},
		"last event without its blank line":        {text("data: " + hiChunk), hi},
		"[DONE] without a line end":                {text(data(delta(`"content":"Hi"`, "")) + "data: [DONE]"), with(hi, func(c *openrouter.Completion) { c.FinishReason = "" })},
		"nothing after [DONE] is read":             {text(data(hiChunk, "[DONE]", `{"error":{"code":500,"message":"late"}}`)), hi},
		"CR LF":                                    {text(strings.ReplaceAll(data(hiChunk, "[DONE]"), "\n", "\r\n")), hi},
		"no space after the colon":                 {text("data:" + hiChunk + "\n\n"), hi},
		"data over several lines":                  {text("data: " + strings.ReplaceAll(hiChunk, ",", ",\ndata: ") + "\n\n"), hi},
		"byte order mark":                          {text("\ufeff" + data(hiChunk)), hi},
		"event, id, retry and empty data fields":   {text("event: chunk\nid: 7\nretry: 10\ndata\n\ndata: " + hiChunk + "\n\n"), hi},
		"comment inside an event":                  {text("data: " + hiChunk + "\n: still here\n\n"), hi},
		"error null, in the chunk and the choice":  {text(data(`{"error":null,"choices":[{"error":null,"delta":{}}]}`, hiChunk)), hi},
		"fields and types nobody expects": {
			text(data(`{"created":"now","usage":"later","debug":{"x":[1]},"choices":[{"index":0,"logprobs":7,"delta":{"images":[],"tool_calls":"none"}}]}`, `{"choices":{}}`, `{"choices":null}`, `{"choices":[null]}`, hiChunk)), hi,
		},
		"echoed upstream body in a first chunk": {text(data(`{"id":"gen-1","choices":[],"debug":{"echo_upstream_body":{}}}`, hiChunk)), hi},
		"another choice is left out":            {text(data(`{"choices":[{"index":1,"delta":{"content":"no"}}]}`, hiChunk)), hi},
		"usage before the finish": {
			text(data(`{"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}`, hiChunk, `{"usage":null}`)),
			with(hi, func(c *openrouter.Completion) {
				c.Usage = &openrouter.Usage{PromptTokens: 5, CompletionTokens: 1, TotalTokens: 6}
			}),
		},
		"repeated finish without the native one": {
			text(data(`{"id":"gen-1","model":"m","provider":"P","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop","native_finish_reason":"STOP"}]}`, delta("", "stop"))),
			with(hi, func(c *openrouter.Completion) { c.NativeFinishReason = "STOP" }),
		},
		"blank data":                          {text("data:   \n\n" + data(hiChunk)), hi},
		"error without content":               {text(data(`{"error":{},"choices":[{"error":""}]}`, `{"error":false}`, hiChunk)), hi},
		"content as a list of parts":          {text(data(delta(`"content":[{"type":"text","text":"H"},{"text":"i"}]`, "stop"))), hi},
		"message instead of delta in a chunk": {text(data(`{"id":"gen-1","model":"m","provider":"P","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}`)), hi},
		"escapes":                             {text(data(delta(`"content":"\u0048\u0069"`, "stop"))), hi},
		"parallel tool calls all numbered 0": {
			text(data(delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]`, ""),
				delta(`"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":""}}]`, ""),
				delta(`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]`, "tool_calls"))),
			with(hi, func(c *openrouter.Completion) {
				c.Content, c.FinishReason = "", "tool_calls"
				c.ToolCalls = []byte(`[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]`)
			}),
		},
		"tool calls out of order, arguments as an object": {
			text(data(delta(`"tool_calls":[{"index":1,"id":"b","function":{"name":"g"}}]`, ""),
				delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"x":1}}}]`, "tool_calls"))),
			with(hi, func(c *openrouter.Completion) {
				c.Content, c.FinishReason = "", "tool_calls"
				c.ToolCalls = []byte(`[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":""}}]`)
			}),
		},
		"refusal": {text(data(delta(`"refusal":"No."`, "stop"))), with(hi, func(c *openrouter.Completion) { c.Content, c.Refusal = "", "No." })},
		"thinking used up max_tokens": {text(data(delta(`"content":""`, "length"), "[DONE]")), with(hi, func(c *openrouter.Completion) {
			c.Content, c.FinishReason = "", "length"
		})},
		"content filter, 0 tokens, cost 0": {
			text(data(delta(`"content":""`, "content_filter"), `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5,"cost":0}}`, "[DONE]")),
			with(hi, func(c *openrouter.Completion) {
				c.Content, c.FinishReason = "", "content_filter"
				c.Usage = &openrouter.Usage{PromptTokens: 5, TotalTokens: 5, Cost: new(0.0)}
			}),
		},
		"usage without cost or total, counts below 0": {
			text(data(hiChunk, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":-1}}`)),
			with(hi, func(c *openrouter.Completion) { c.Usage = &openrouter.Usage{PromptTokens: 5, TotalTokens: 5} }),
		},
		"generation id from the header where no chunk has one": {
			reply{header: map[string]string{"X-Generation-Id": "gen-h"}, steps: text(data(`{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}`)).steps},
			openrouter.Completion{ID: "gen-h", Content: "Hi", FinishReason: "stop"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, newClient(t, openrouter.Config{Transport: tt.reply.transport(t)}))
			if got.err != nil {
				t.Fatalf("got error %v (%+v)", got.err, got.err)
			}
			if diff := cmp.Diff(tt.want, got.Completion, cmpopts.IgnoreFields(openrouter.Completion{}, "FirstToken")); diff != "" {
				t.Errorf("completion (-want +got):\n%s", diff)
			}
			if tokens := got.Content + got.Reasoning + got.Refusal + string(got.ToolCalls); got.FirstToken.IsZero() != (tokens == "") {
				t.Errorf("first token: got %v for an answer of %d bytes", got.FirstToken, len(tokens))
			}
		})
	}
}

// TestCompleteByteByByte gives the body in the smallest pieces a network can.
func TestCompleteByteByByte(t *testing.T) {
	t.Parallel()
	var steps []step
	for _, b := range []byte(testdata(t, "text.sse")) {
		steps = append(steps, step{data: string([]byte{b})})
	}
	got := ask(t, newClient(t, openrouter.Config{Transport: reply{steps: steps}.transport(t)}))
	if got.err != nil || got.Content != "Hello, wörld!" || len(got.pieces) != 3 || *got.Usage.Cost != 0.0000077 {
		t.Errorf("got %+v in %d pieces, error %v", got.Completion, len(got.pieces), got.err)
	}
}

func TestCompleteFailures(t *testing.T) {
	t.Parallel()
	reset := errors.New("read tcp: connection reset by peer")
	begun := data(delta(`"content":"Once"`, ""))
	gen := "gen-1773273600-aBcDeFgHiJkLmNoPqRsT"
	type want = openrouter.Error
	tests := map[string]struct {
		body string
		err  error // after the body
		want want
	}{
		"error body in a 200": {"{\"error\":{\"code\":429,\"message\":\"slow down\"},\"user_id\":\"u\"}", nil, want{Kind: openrouter.KindStatus, Status: 429, Code: "429", Message: "slow down", Retryable: true}},
		"error body in a 200 after white space": {
			"\n         \n\n         \n" + testdata(t, "error_402_credits.json"), nil,
			want{Kind: openrouter.KindStatus, Status: 402, Code: "402", LimitSource: "openrouter_credits", Message: "This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, but can only afford 1234."},
		},
		"error body in a 200 after comments": {": OPENROUTER PROCESSING\n\n{\"error\":{\"code\":503,\"message\":\"busy\"}}", nil, want{Kind: openrouter.KindStatus, Status: 503, Code: "503", Message: "busy", Retryable: true}},
		"error as the first event":           {data(`{"error":{"code":"400","message":"bad"}}`), nil, want{Kind: openrouter.KindStatus, Status: 400, Code: "400", Message: "bad"}},
		"error in the middle, code a number": {testdata(t, "error_midstream.sse"), nil, want{
			Kind: openrouter.KindStatus, Status: 502, Code: "502", Type: "provider_unavailable", Provider: "Google",
			Message: "Provider disconnected unexpectedly", GenerationID: gen, Started: true, Retryable: true,
		}},
		"error in the middle, code a string": {testdata(t, "error_midstream_string_code.sse"), nil, want{
			Kind: openrouter.KindStatus, Status: 500, Code: "server_error", Provider: "Google",
			Message: "Internal Server Error", GenerationID: gen, Started: true, Retryable: true,
		}},
		"error in the middle, code unknown": {begun + data(`{"error":{"code":"odd"}}`), nil, want{Kind: openrouter.KindStatus, Code: "odd", Message: "odd", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"error in the middle is a string":   {begun + data(`{"error":"boom"}`), nil, want{Kind: openrouter.KindStatus, Message: "boom", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"error in a choice beside partial content": {`{"id":"g","choices":[{"message":{"content":"half"},"finish_reason":"error","error":{"code":502,"message":"lost","metadata":{"provider_name":"Google"}}}],"usage":{"prompt_tokens":3,"cost":0.1}}`, nil, want{
			Kind: openrouter.KindStatus, Status: 502, Code: "502", Message: "lost", Provider: "Google", GenerationID: "g", Started: true, Retryable: true,
			Usage: &openrouter.Usage{PromptTokens: 3, TotalTokens: 3, Cost: new(0.1)},
		}},
		"error after the finish": {data(delta(`"content":"a"`, "stop"), `{"error":{"code":500,"message":"late"}}`), nil, want{Kind: openrouter.KindStatus, Status: 500, Code: "500", Message: "late", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"availability without a code": {data(`{"error":{"message":"gone","availability":{"code":"model_deprecated","retryable":false}}}`), nil, want{
			Kind: openrouter.KindStatus, Status: 404, Message: "gone", Availability: "model_deprecated", AvailabilityRetryable: new(false),
		}},
		"finish error without an error object": {testdata(t, "finish_error.sse"), nil, want{
			Kind: openrouter.KindFinishError, Status: 200, NativeFinishReason: "MALFORMED_FUNCTION_CALL", Provider: "Google", GenerationID: gen,
			Message: "the model ended its answer with an error (MALFORMED_FUNCTION_CALL)", Started: true, Retryable: true,
			Usage: &openrouter.Usage{PromptTokens: 20, CompletionTokens: 7, TotalTokens: 27, CachedTokens: new(int64(0)), ReasoningTokens: new(int64(0)), Cost: new(0.0), AudioTokens: new(int64(0)), CostDetails: paid(6e-06, 1.7500000000000002e-05)},
		}},
		"finish error after finish stop":     {data(delta(`"content":"a"`, "stop"), delta("", "error")), nil, want{Kind: openrouter.KindFinishError, Status: 200, Message: "the model ended its answer with an error", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"empty body":                         {"", nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Retryable: true}},
		"white space only":                   {"\n         \n\n         \n", nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Retryable: true}},
		"comments only":                      {": OPENROUTER PROCESSING\n\n", nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Retryable: true}},
		"document cut":                       {`{"id":"g","choices":[{"mess`, nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Retryable: true}},
		"cut in the middle of an event":      {begun + `data: {"id":"gen-1","cho`, nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"blank data at the end":              {"data: \nid\ndata: ", nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Retryable: true}},
		"end with neither finish nor [DONE]": {begun, nil, want{Kind: openrouter.KindCut, Status: 200, Message: "the response ended before the answer did", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"reset in the middle":                {begun, reset, want{Kind: openrouter.KindCut, Status: 200, Message: "the response broke off: " + reset.Error(), Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"zero-token stop": {data(delta(`"content":""`, "stop"), `{"usage":{"cost":0}}`, "[DONE]"), nil, want{
			Kind: openrouter.KindEmpty, Status: 200, Message: "the answer is empty", Provider: "P", GenerationID: "gen-1", Retryable: true,
			Usage: &openrouter.Usage{Cost: new(0.0)},
		}},
		"[DONE] alone":             {data("[DONE]"), nil, want{Kind: openrouter.KindEmpty, Status: 200, Message: "the answer is empty", Retryable: true}},
		"document without choices": {`{"id":"g","choices":[]}`, nil, want{Kind: openrouter.KindEmpty, Status: 200, Message: "the answer is empty", GenerationID: "g", Retryable: true}},
		"HTML page":                {testdata(t, "cloudflare_524.html"), nil, want{Kind: openrouter.KindMalformed, Status: 200, Message: "HTTP 200 with an HTML page", Retryable: true}},
		"no byte order mark":       {"\xef\xbb", nil, want{Kind: openrouter.KindMalformed, Status: 200, Message: "HTTP 200 with a body that is no stream", Retryable: true}},
		"plain text":               {"Bad gateway\n", nil, want{Kind: openrouter.KindMalformed, Status: 200, Message: "HTTP 200 with a body that is no stream", Retryable: true}},
		"not quite JSON":           {`{"id":}`, nil, want{Kind: openrouter.KindMalformed, Status: 200, Message: "HTTP 200 with a body that is not JSON", Retryable: true}},
		"event that is not JSON":   {begun + data("oops"), nil, want{Kind: openrouter.KindMalformed, Status: 200, Message: "HTTP 200 with an event that is not a JSON object", Provider: "P", GenerationID: "gen-1", Started: true, Retryable: true}},
		"event that is a list":     {data("[1]"), nil, want{Kind: openrouter.KindMalformed, Status: 200, Message: "HTTP 200 with an event that is not a JSON object", Retryable: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			canned := reply{steps: []step{{data: tt.body}, {err: tt.err}}}
			got := ask(t, newClient(t, openrouter.Config{Transport: canned.transport(t)}))
			if got.err == nil {
				t.Fatalf("got %+v, want an error", got.Completion)
			}
			if diff := cmp.Diff(&tt.want, got.err, facts()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if strings.Contains(strings.Join(got.pieces, ""), "ctrl46") {
				t.Errorf("junk of a failed answer was passed on: %q", got.pieces)
			}
			if tt.err != nil && !errors.Is(got.err, tt.err) {
				t.Errorf("errors.Is does not know the cause %v", tt.err)
			}
		})
	}
}

func TestPanicInOnDeltaIsTheCallers(t *testing.T) {
	t.Parallel()
	client := newClient(t, openrouter.Config{Transport: text(testdata(t, "text.sse")).transport(t)})
	defer func() {
		if got := recover(); got != "mine" {
			t.Errorf("recovered %v, want mine", got)
		}
	}()
	_, _ = client.Complete(t.Context(), testKey, new(hello()), func(string) { panic("mine") })
	t.Error("the panic was swallowed")
}

func TestOnDeltaMayBeNil(t *testing.T) {
	t.Parallel()
	client := newClient(t, openrouter.Config{Transport: text(testdata(t, "text.sse")).transport(t)})
	if got, err := client.Complete(t.Context(), testKey, new(hello()), nil); err != nil || got.Content != "Hello, wörld!" {
		t.Errorf("got %+v, %v", got, err)
	}
}
