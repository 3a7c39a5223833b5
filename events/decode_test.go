package events_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func TestDecodeGolden(t *testing.T) {
	t.Parallel()
	full := events.DefaultParameters()
	tests := map[string]events.Request{
		"request_backend.json": {
			ID:            "9F1C2B3A-4D5E-4F60-8A7B-0C1D2E3F4A5B",
			Prompt:        "Summarise the call.\n\nSpeaker 1: Guten Tag, über 5 < 6 & \"Zitat\" 🙂",
			Model:         "google/gemini-2.5-flash",
			NamesModel:    true,
			Parameters:    full,
			CallbackQueue: "gemini.responses",
			Timestamp:     time.Date(2025, 12, 8, 10, 11, 12, 123456000, time.UTC),
			Metadata:      raw(backendMetadata),
		},
		"request_minimal.json": {
			ID:            someID,
			Prompt:        "?",
			Model:         "google/gemini-2.5-flash",
			Parameters:    events.DefaultParameters(),
			CallbackQueue: "gemini.responses",
			Timestamp:     now(),
		},
		"request_prompt_nulls.json": {
			ID:     "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
			Prompt: "Hello",
			Model:  "google/gemini-2.5-flash",
			Parameters: events.Parameters{
				Temperature: 0, TopP: 1, TopK: 100, MaxOutputTokens: 32768, CandidateCount: 8,
			},
			SystemInstruction: "Be brief.",
			CallbackQueue:     "gemini.responses",
			Timestamp:         time.Date(2025, 12, 8, 10, 11, 12, 0, time.UTC),
			RetryCount:        3,
		},
		"request_messages.json": {
			ID: "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
			Messages: raw(`[
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "a cat"}
  ]`),
			Model: "~google/gemini-flash-latest", NamesModel: true,
			Parameters: events.Parameters{
				Temperature: 1, TopP: 0.95, TopK: 40, MaxOutputTokens: 512, CandidateCount: 1,
				StopSequences: []string{"END", "\n\n"},
			},
			CallbackQueue: "gemini.responses",
			Timestamp:     now(),
		},
		"request_additions.json": {
			ID:            "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
			Prompt:        "List three colours.",
			Model:         "google/gemini-2.5-flash",
			Parameters:    events.DefaultParameters(),
			CallbackQueue: "gemini.responses",
			Timestamp:     time.Date(2030, 12, 8, 10, 11, 12, 500000000, time.UTC),
			Stream:        true,
			Deadline:      time.Date(2031, 1, 2, 1, 4, 5, 0, time.UTC),
			OpenRouter: map[string]json.RawMessage{
				"reasoning":       raw(`{"max_tokens": 256}`),
				"response_format": raw(`{"type": "json_object"}`),
				"provider":        raw(`{"require_parameters": true}`),
				"models":          raw(`["google/gemini-2.5-flash","google/gemini-3.5-flash-lite"]`),
				"plugins":         raw(`[{"id": "file-parser", "pdf": {"engine": "native"}}]`),
				"tools":           raw(`[{"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}]`),
				"seed":            raw(`7`),
			},
		},
		"request_saving.json": savingRequest(),
		"request_body_ref.json": {
			ID:            "6ba7b813-9dad-11d1-80b4-00c04fd430c8",
			Model:         "google/gemini-2.5-flash",
			Parameters:    events.DefaultParameters(),
			CallbackQueue: "gemini.responses",
			Timestamp:     now(),
			BodyRef:       ofAnother(bodyRef(`{"prompt":"Hello"}`), "6ba7b813-9dad-11d1-80b4-00c04fd430c8"),
		},
	}
	for name, content := range goldens(t, "request_") {
		want, listed := tests[name]
		if !listed {
			t.Errorf("testdata/%s: no expectation; every golden message has one", name)
		}
		got := decode(t, string(content))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Decode(testdata/%s): -want +got\n%s", name, diff)
		}
	}
}

// A Request that was marshalled is a body that decodes to the same Request: a
// Go backend may send one.
func TestRequestMarshalled(t *testing.T) {
	t.Parallel()
	for name, content := range goldens(t, "request_") {
		want := decode(t, string(content))
		sent, err := json.Marshal(want)
		if err != nil {
			t.Fatalf("Marshal(Decode(testdata/%s)): got error %v, want none", name, err)
		}
		want.NamesModel = true // what is sent names the default
		got := decode(t, string(sent))
		compact := cmp.Transformer("compact", func(r json.RawMessage) string {
			var v any
			_ = json.Unmarshal(r, &v)
			text, _ := json.Marshal(v)
			return string(text)
		})
		if diff := cmp.Diff(want, got, compact); diff != "" {
			t.Errorf("Decode(Marshal(Decode(testdata/%s))): -want +got\n%s", name, diff)
		}
	}
}

func TestDecodeAccepts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want func(*events.Request)
	}{
		"a bare Gemini name":          {asked(`"model":"gemini-3.5-flash-lite"`), func(r *events.Request) { r.Model, r.NamesModel = "google/gemini-3.5-flash-lite", true }},
		"an alias":                    {asked(`"model":"~google/gemini-flash-latest"`), func(r *events.Request) { r.Model, r.NamesModel = "~google/gemini-flash-latest", true }},
		"a routing suffix":            {asked(`"model":"gemini-2.5-flash:floor"`), func(r *events.Request) { r.Model, r.NamesModel = "google/gemini-2.5-flash:floor", true }},
		"empty parameters":            {asked(`"parameters":{}`), func(*events.Request) {}},
		"null stop sequences":         {asked(`"parameters":{"stop_sequences":null}`), func(*events.Request) {}},
		"an unknown parameter":        {asked(`"parameters":{"seed":"x","Temperature":9}`), func(*events.Request) {}},
		"keys in another case":        {asked(`"Model":"x/y","RETRY_COUNT":-1,"Stream":7`), func(*events.Request) {}},
		"unknown fields twice":        {asked(`"x":1,"x":[2]`), func(*events.Request) {}},
		"an escaped key":              {asked(`"str\u0065am":true`), func(r *events.Request) { r.Stream = true }},
		"an integer with a fraction":  {asked(`"retry_count":2.0`), func(r *events.Request) { r.RetryCount = 2 }},
		"an integer with an exponent": {asked(`"parameters":{"top_k":1e1}`), func(r *events.Request) { r.Parameters.TopK = 10 }},
		"minus zero":                  {asked(`"retry_count":-0.0`), func(*events.Request) {}},
		"a retry count past counting": {asked(`"retry_count":1e999`), func(r *events.Request) { r.RetryCount = 1<<31 - 1 }},
		"the lowest values": {asked(`"parameters":{"temperature":0,"top_p":0,"top_k":1,"max_output_tokens":1,"candidate_count":1}`), func(r *events.Request) {
			r.Parameters = events.Parameters{TopK: 1, MaxOutputTokens: 1, CandidateCount: 1}
		}},
		"an empty object as metadata": {asked(`"metadata":{ }`), func(r *events.Request) { r.Metadata = raw(`{ }`) }},
		"an empty system instruction": {asked(`"system_instruction":""`), func(*events.Request) {}},
		"backslashes before a quote":  {asked(`"x":"\\","y":"\"\\\"","system_instruction":"a\\\\","z":["]\\"]`), func(r *events.Request) { r.SystemInstruction = `a\\` }},
		"half a surrogate pair":       {body(`"prompt":"Hi","system_instruction":"\ud83d"`), func(r *events.Request) { r.SystemInstruction = "\ufffd" }},
		"an empty openrouter":         {asked(`"openrouter":{}`), func(r *events.Request) { r.OpenRouter = map[string]json.RawMessage{} }},
		"nulls in openrouter": {asked(`"openrouter":{"models":null,"plugins":null,"tools":null}`), func(r *events.Request) {
			r.OpenRouter = map[string]json.RawMessage{"models": raw("null"), "plugins": raw("null"), "tools": raw("null")}
		}},
		"a deadline in the past":  {asked(`"deadline":"1999-12-31T23:59:59"`), func(r *events.Request) { r.Deadline = time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC) }},
		"space around everything": {" \r\n\t" + strings.ReplaceAll(asked(`"stream" : true`), ",", " ,\n") + "\n ", func(r *events.Request) { r.Stream = true }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := events.Request{
				ID: someID, Prompt: "Hi", Model: "google/gemini-2.5-flash", Parameters: events.DefaultParameters(),
				CallbackQueue: "gemini.responses", Timestamp: now(),
			}
			tt.want(&want)
			if diff := cmp.Diff(want, decode(t, tt.body)); diff != "" {
				t.Errorf("Decode(%s): -want +got\n%s", tt.body, diff)
			}
		})
	}
}

func TestDecodeTimestamps(t *testing.T) {
	t.Parallel()
	noon := time.Date(2025, 12, 8, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		text string
		want time.Time // Zero: refused.
	}{
		"naive":                {"2025-12-08T12:00:00", noon},
		"naive, microseconds":  {"2025-12-08T12:00:00.000001", noon.Add(time.Microsecond)},
		"naive, one digit":     {"2025-12-08T12:00:00.5", noon.Add(500 * time.Millisecond)},
		"naive, nanoseconds":   {"2025-12-08T12:00:00.000000001", noon.Add(1)},
		"naive, with a space":  {"2025-12-08 12:00:00", noon},
		"Z":                    {"2025-12-08T12:00:00Z", noon},
		"lower case":           {"2025-12-08t12:00:00z", noon},
		"east":                 {"2025-12-08T14:30:00.0+02:30", noon},
		"west, with a space":   {"2025-12-08 04:00:00-08:00", noon},
		"leap day":             {"2024-02-29T00:00:00", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		"no leap day":          {"2025-02-29T00:00:00", time.Time{}},
		"date alone":           {"2025-12-08", time.Time{}},
		"no seconds":           {"2025-12-08T12:00", time.Time{}},
		"hour of one digit":    {"2025-12-08T2:00:00.0", time.Time{}},
		"hour of one digit, Z": {"2025-12-08T2:00:00Z", time.Time{}},
		"comma":                {"2025-12-08T12:00:00,5", time.Time{}},
		"point without digits": {"2025-12-08T12:00:00.", time.Time{}},
		"ten digits":           {"2025-12-08T12:00:00.0123456789", time.Time{}},
		"zone without colon":   {"2025-12-08T12:00:00+0200", time.Time{}},
		"hour 24":              {"2025-12-08T24:00:00", time.Time{}},
		"another separator":    {"2025-12-08_12:00:00", time.Time{}},
		"something after it":   {"2025-12-08T12:00:00Z ", time.Time{}},
		"something before it":  {" 2025-12-08T12:00:00Z", time.Time{}},
		"empty":                {"", time.Time{}},
		"a word":               {"now", time.Time{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := asked(`"timestamp":"`+tt.text+`"`, `"deadline":"`+tt.text+`"`)
			if tt.want.IsZero() {
				_, failure := decodeFailure(t, rules(), body)
				for _, field := range []string{"timestamp: is the string", "deadline: is the string"} {
					if !strings.Contains(failure.Message, field) {
						t.Errorf("Decode(%s)\n got %q\nwant a text with %q", body, failure.Message, field)
					}
				}
				return
			}
			got := decode(t, body)
			if got.Timestamp != tt.want || got.Deadline != tt.want {
				t.Errorf("Decode(%s)\n got timestamp %v, deadline %v\nwant %v", body, got.Timestamp, got.Deadline, tt.want)
			}
		})
	}
}

const backendMetadata = `{"call_id": 4711,  "tags" : ["a<b>&c", "grüße", "\u65e5\u672c"],` + "\t" + `"ratio":1.50, "nested": {"z":1,"a":2}}`
