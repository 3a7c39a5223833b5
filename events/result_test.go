package events_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// goldenResults are the results in testdata, as Go values.
func goldenResults() map[string]events.Result {
	completed := events.Request{ID: "9F1C2B3A-4D5E-4F60-8A7B-0C1D2E3F4A5B", Metadata: raw(backendMetadata)}.
		Completed("Grüße <b>&amp;</b> 🙂\n", at("2025-12-08T11:11:13.000120+01:00"))
	completed.Usage = &events.Usage{PromptTokens: 9, CompletionTokens: 2, TotalTokens: 11, CachedTokens: new(0)}
	completed.ProcessingTimeMS, completed.ModelUsed = new(1234.5), new("google/gemini-2.5-flash")
	completed.FinishReason, completed.Provider = new("stop"), new("Google")
	completed.GenerationID, completed.Cost = new("gen-1750172488-abcdefghijklmnopqrst"), new(0.0000077)
	completed.Attempts = 1

	failed := events.Request{ID: someID, RetryCount: 4}.Failed(
		events.Failure{Code: events.RateLimited, Message: "OpenRouter refused for too many calls"}, at("2025-12-08T10:11:13Z"))
	failed.Attempts = 3

	tools := events.Request{ID: "6ba7b812-9dad-11d1-80b4-00c04fd430c8", RetryCount: 1, Metadata: raw(`{}`)}.
		Completed("", at("2031-01-02T01:04:05.999999999Z"))
	tools.Content = nil
	tools.Usage = &events.Usage{PromptTokens: 100, CompletionTokens: 20, TotalTokens: 120, CachedTokens: new(64), ReasoningTokens: new(8)}
	tools.ProcessingTimeMS, tools.ModelUsed = new(0.0), new("google/gemini-2.5-flash")
	tools.FinishReason, tools.Provider, tools.GenerationID = new("tool_calls"), new("Google AI Studio"), new("gen-2")
	tools.Cost, tools.Reasoning, tools.Attempts = new(0.0), new("thinking"), 2
	tools.ToolCalls = raw(`[{"id":"c1","type":"function","function":{"name":"paint","arguments":"{\"a\":\"<b>\"}"}}]`)

	cached := events.Request{ID: someID}.Completed("Blue.", at("2026-11-27T10:11:13Z"))
	cached.Usage = &events.Usage{CachedTokens: new(0), ReasoningTokens: new(0), AudioTokens: new(0)}
	cached.ProcessingTimeMS, cached.ModelUsed, cached.FinishReason = new(12.5), new("google/gemini-2.5-flash"), new("stop")
	cached.Provider, cached.GenerationID, cached.Cost, cached.Attempts = new("Google"), new("gen-3"), new(0.0), 1
	cached.CostDetails = &events.CostDetails{UpstreamPrompt: new(0.0), UpstreamCompletions: new(0.0)}
	cached.ServiceTier, cached.Cached = new("flex"), true

	referred := events.Request{ID: someID}.Completed("", at("2026-11-27T10:11:13Z"))
	referred.Content, referred.ModelUsed, referred.FinishReason, referred.Attempts = nil, new("google/gemini-2.5-flash"), new("stop"), 1
	referred.ResultRef = &events.BodyRef{
		Bucket: "GEMINI_BODIES", Name: events.ResultBodyName(someID, "7d444840-9dc0-11d1-b245-5ffdce74fad2"), Size: 3 << 20,
		Digest: events.BodyDigest([]byte("x")), Note: events.NoteResultRef,
	}

	return map[string]events.Result{
		"result_body_ref.json":  referred,
		"result_cached.json":    cached,
		"result_completed.json": completed, "result_failed.json": failed, "result_tools.json": tools,
	}
}

func TestResultGolden(t *testing.T) {
	t.Parallel()
	results := goldenResults()
	for name, want := range goldens(t, "result_") {
		result, listed := results[name]
		if !listed {
			t.Errorf("testdata/%s: no expectation; every golden message has one", name)
			continue
		}
		got, err := result.Encode()
		if err != nil {
			t.Errorf("Encode of %s: got error %v, want none", name, err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("Encode of %s: -want +got\n%s", name, diff)
		}
		back, err := events.DecodeResult(want)
		if err != nil {
			t.Errorf("DecodeResult(testdata/%s): got error %v, want none", name, err)
		}
		result.Timestamp = result.Timestamp.UTC().Truncate(time.Microsecond)
		if diff := cmp.Diff(result, back); diff != "" {
			t.Errorf("DecodeResult(testdata/%s): -want +got\n%s", name, diff)
		}
	}
}

// Existing backends read results with strict types, and know no addition.
func TestResultReadByAnExistingBackend(t *testing.T) {
	t.Parallel()
	type usage struct {
		PromptTokens     uint `json:"prompt_tokens"`
		CompletionTokens uint `json:"completion_tokens"`
		TotalTokens      uint `json:"total_tokens"`
	}
	type response struct {
		RequestID        string          `json:"request_id"`
		Status           string          `json:"status"`
		Content          *string         `json:"content"`
		Error            *string         `json:"error"`
		Usage            *usage          `json:"usage"`
		Timestamp        time.Time       `json:"timestamp"`
		ProcessingTimeMS *float64        `json:"processing_time_ms"`
		ModelUsed        *string         `json:"model_used"`
		Metadata         *map[string]any `json:"metadata"`
	}
	required := []string{
		"request_id", "status", "content", "error", "usage", "timestamp", "processing_time_ms", "model_used", "metadata",
	}
	for name, result := range goldenResults() {
		sent, err := result.Encode()
		if err != nil {
			t.Fatalf("Encode of %s: got error %v, want none", name, err)
		}
		var fields map[string]any
		var got response
		if err := json.Unmarshal(sent, &fields); err != nil {
			t.Fatalf("%s: got error %v, want JSON", name, err)
		}
		if err := json.Unmarshal(sent, &got); err != nil {
			t.Errorf("%s: got error %v, want the types of old", name, err)
		}
		for _, field := range required {
			if _, there := fields[field]; !there {
				t.Errorf("%s\n got %s\nwant field %s", name, sent, field)
			}
		}
		if got.RequestID != result.RequestID || got.Timestamp != result.Timestamp.UTC().Truncate(time.Microsecond) {
			t.Errorf("%s\n got id %s, timestamp %v\nwant %s, %v", name, got.RequestID, got.Timestamp, result.RequestID, result.Timestamp)
		}
		if _, isNull := fields["error"]; isNull && (got.Status == "success") != (got.Error == nil) {
			t.Errorf("%s\n got status %s, error %v\nwant an error exactly if the status is error", name, got.Status, got.Error)
		}
	}
}

func TestEncodeKeepsMetadata(t *testing.T) {
	t.Parallel()
	for name, metadata := range map[string]string{
		"spacing":    "{ \"a\" :\t1 ,\n\r \"b\":[ ] }",
		"HTML":       `{"a":"<script>&amp;</script>"}`,
		"escapes":    `{"\u0061":"\u003c\/\ud83d\ude42\u2028"}`,
		"separators": "{\"a\":\"\u2028\u2029\"}",
		"numbers":    `{"a":1.50,"b":1E+2,"c":123456789012345678901234567890,"d":-0}`,
		"duplicates": `{"a":1,"a":2}`,
		"own fields": `{"request_id":"x","metadata":{"metadata":null}}`,
		"nested":     strings.Repeat(`{"a":`, 9998) + `{}` + strings.Repeat(`}`, 9998),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := decode(t, asked(`"metadata":`+metadata))
			for _, result := range []events.Result{
				request.Completed("<&>", now()), request.Failed(events.Failure{Code: events.Internal}, now()),
			} {
				sent, err := result.Encode()
				if err != nil || !json.Valid(sent) || !bytes.Contains(sent, []byte(`"metadata":`+metadata)) {
					t.Errorf("Encode with metadata %s\n got %s, error %v\nwant it in valid JSON byte for byte", cut(metadata), cut(string(sent)), err)
				}
				back, err := events.DecodeResult(sent)
				if err != nil || string(back.Metadata) != metadata {
					t.Errorf("DecodeResult of metadata %s\n got %s, error %v\nwant it byte for byte", cut(metadata), cut(string(back.Metadata)), err)
				}
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*events.Result){
		"metadata a list":     func(r *events.Result) { r.Metadata = raw(`[]`) },
		"metadata open":       func(r *events.Result) { r.Metadata = raw(`{`) },
		"metadata two values": func(r *events.Result) { r.Metadata = raw(`{},"status":"success"`) },
		"metadata not UTF-8":  func(r *events.Result) { r.Metadata = raw("{\"a\":\"\xff\"}") },
		"tool calls open":     func(r *events.Result) { r.ToolCalls = raw(`[`) },
		"cost infinite":       func(r *events.Result) { r.Cost = new(math.Inf(1)) },
		"time not a number":   func(r *events.Result) { r.ProcessingTimeMS = new(math.NaN()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := events.Request{ID: someID}.Completed("Hi", now())
			change(&result)
			if sent, err := result.Encode(); err == nil || !strings.HasPrefix(err.Error(), "encode result: ") {
				t.Errorf("Encode(%+v)\n got %s, error %v\nwant an error that begins with encode result", result, sent, err)
			}
		})
	}
}

func TestDecodeResultRefuses(t *testing.T) {
	t.Parallel()
	valid := string(golden(t, "result_failed.json"))
	for name, tt := range map[string]struct{ old, replacement, want string }{
		"cut off":       {"}", "", "decode result: unexpected end of JSON input"},
		"a wrong type":  {`"attempts":3`, `"attempts":"3"`, "decode result: json: cannot unmarshal string"},
		"no UUID":       {someID, "x", `decode result: request_id "x" is not a UUID`},
		"another state": {`"status":"error"`, `"status":"done"`, `decode result: status "done" is neither success nor error`},
		"no time":       {`"timestamp":"2025-12-08T10:11:13.000000Z"`, `"timestamp":""`, `decode result: timestamp "" is not a time`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := strings.Replace(valid, tt.old, tt.replacement, 1)
			got, err := events.DecodeResult([]byte(body))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("DecodeResult(%s)\n got %+v, error %v\nwant an error that begins %s", body, got, err, tt.want)
			}
		})
	}
}

func TestResultSubject(t *testing.T) {
	t.Parallel()
	request := events.Request{ID: strings.ToUpper(someID)}
	for _, tt := range []struct {
		result events.Result
		want   string
	}{
		{request.Completed("", now()), "a.b.completed." + someID},
		{request.Failed(events.Failure{}, now()), "a.b.failed." + someID},
	} {
		if got := tt.result.Subject("a.b"); got != tt.want {
			t.Errorf("Subject of a result with status %s\n got %s\nwant %s", tt.result.Status, got, tt.want)
		}
	}
}

func TestDelta(t *testing.T) {
	t.Parallel()
	want := events.Delta{RequestID: someID, Run: "r1", Attempt: 2, Index: 3, Content: "<ü>", Done: true}
	sent, err := want.Encode()
	if text := `{"request_id":"` + someID + `","run":"r1","attempt":2,"index":3,"content":"<ü>","done":true}`; err != nil || string(sent) != text {
		t.Errorf("Encode(%+v)\n got %s, error %v\nwant %s", want, sent, err, text)
	}
	if got, err := events.DecodeDelta(sent); err != nil || got != want {
		t.Errorf("DecodeDelta(%s)\n got %+v, error %v\nwant %+v", sent, got, err, want)
	}
	for _, body := range []string{"", "[]", `{"request_id":"x"}`, `{"request_id":"` + someID + `","index":"1"}`} {
		if got, err := events.DecodeDelta([]byte(body)); err == nil {
			t.Errorf("DecodeDelta(%s)\n got %+v\nwant an error", body, got)
		}
	}
}
