package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func FuzzDecode(f *testing.F) {
	for _, content := range goldens(f, "request_") {
		f.Add(content, 0)
	}
	for _, tt := range brokenBodies() {
		f.Add([]byte(tt.body), 60)
	}
	f.Fuzz(func(t *testing.T, body []byte, limit int) {
		r := rules()
		r.MaxBytes = max(limit, 0)
		r.Plugins = append(r.Plugins, "web")
		given := bytes.Clone(body)
		request, err := r.Decode(body, now())
		if !bytes.Equal(given, body) {
			t.Fatalf("Decode(%q) changed the body to %q", given, body)
		}
		var failure events.Failure
		switch {
		case errors.Is(err, events.ErrNoID):
			if diff := cmp.Diff(events.Request{}, request); diff != "" {
				t.Fatalf("Decode(%q) without an id: -want +got\n%s", body, diff)
			}
			return
		case errors.As(err, &failure):
			checkFailure(t, r, body, failure)
		case err != nil:
			t.Fatalf("Decode(%q)\n got error %v\nwant none, ErrNoID or a Failure", body, err)
		default:
			checkRequest(t, r, body, request)
		}
		checkAnswerable(t, r, body, request)
	})
}

func checkFailure(t *testing.T, r events.Rules, body []byte, failure events.Failure) {
	t.Helper()
	allowed := []events.Code{events.InvalidRequest, events.CallbackNotAllowed}
	if r.MaxBytes > 0 && len(body) > r.MaxBytes || strings.Contains(failure.Message, "body_ref.size: is ") && failure.Code == events.PayloadTooLarge {
		allowed = []events.Code{events.PayloadTooLarge}
	}
	if !slices.Contains(allowed, failure.Code) || failure.Message == "" || !utf8.ValidString(failure.Message) || len(failure.Message) > 20000 {
		t.Fatalf("Decode(%q) with a limit of %d\n got %q\nwant a readable text and one of %q", body, r.MaxBytes, failure, allowed)
	}
}

// checkAnswerable holds for every Request that has an id, beside a Failure too.
func checkAnswerable(t *testing.T, r events.Rules, body []byte, request events.Request) {
	t.Helper()
	if !events.ValidID(request.ID) || request.RetryCount < 0 ||
		request.CallbackQueue != r.DefaultCallback && !slices.Contains(r.Callbacks, request.CallbackQueue) {
		t.Fatalf("Decode(%q)\n got id %q, callback %q, retry count %d\nwant usable ones", body, request.ID, request.CallbackQueue, request.RetryCount)
	}
	if request.Metadata != nil && (!bytes.Contains(body, request.Metadata) || !json.Valid(request.Metadata) || request.Metadata[0] != '{') {
		t.Fatalf("Decode(%q)\n got metadata %q\nwant an object of the body", body, request.Metadata)
	}
	sent, err := request.Completed("Hi", now()).Encode()
	if err != nil || !json.Valid(sent) || request.Metadata != nil && !bytes.Contains(sent, request.Metadata) {
		t.Fatalf("Encode with metadata %q\n got %q, error %v\nwant JSON with it byte for byte", request.Metadata, sent, err)
	}
}

func checkRequest(t *testing.T, r events.Rules, body []byte, request events.Request) {
	t.Helper()
	p := request.Parameters
	switch {
	case (request.Prompt == "") == (request.Messages == nil) && request.BodyRef == nil,
		request.BodyRef != nil && (request.Prompt != "" || request.Messages != nil || !ownBody(request)),
		request.Messages != nil && !json.Valid(request.Messages),
		!r.AllowsModel(request.Model),
		!(p.Temperature >= 0 && p.Temperature <= 2), !(p.TopP >= 0 && p.TopP <= 1), p.TopK < 1 || p.TopK > 100,
		p.MaxOutputTokens < 1 || p.MaxOutputTokens > 32768, p.CandidateCount < 1 || p.CandidateCount > 8,
		request.Timestamp.IsZero() && !bytes.Contains(body, []byte("0001-01-")),
		request.Timestamp.Location() != time.UTC, request.Deadline.Location() != time.UTC,
		!utf8.Valid(body), r.MaxBytes > 0 && len(body) > r.MaxBytes:
		t.Fatalf("Decode(%q)\n got %+v\nwant a request within the rules", body, request)
	}
	// What is passed on is read by others, so it is checked with another reader.
	var models []string
	if err := json.Unmarshal(request.OpenRouter["models"], &models); request.OpenRouter["models"] != nil && err != nil {
		t.Fatalf("Decode(%q)\n got models %q, error %v\nwant strings", body, request.OpenRouter["models"], err)
	}
	for _, model := range models {
		if !r.AllowsModel(model) {
			t.Fatalf("Decode(%q)\n got fallback model %q\nwant an allowed one", body, model)
		}
	}
	for name, value := range request.OpenRouter {
		if !json.Valid(value) {
			t.Fatalf("Decode(%q)\n got openrouter.%s %q\nwant JSON", body, name, value)
		}
	}
	var entries []map[string]any
	if err := json.Unmarshal(request.OpenRouter["plugins"], &entries); request.OpenRouter["plugins"] != nil && err != nil {
		t.Fatalf("Decode(%q)\n got plugins %q, error %v\nwant objects", body, request.OpenRouter["plugins"], err)
	}
	for _, entry := range entries {
		if id, ok := entry["id"].(string); !ok || !slices.Contains(r.Plugins, id) {
			t.Fatalf("Decode(%q)\n got plugin %v\nwant an allowed one", body, entry)
		}
	}
	if strings.Contains(string(request.OpenRouter["tools"]), `"type":"openrouter:evil"`) {
		var tools []map[string]any
		if err := json.Unmarshal(request.OpenRouter["tools"], &tools); err == nil {
			for _, tool := range tools {
				if tool["type"] == "openrouter:evil" {
					t.Fatalf("Decode(%q)\n got tool %v\nwant it refused", body, tool)
				}
			}
		}
	}
}

func FuzzResultRoundTrip(f *testing.F) {
	for _, result := range goldenResults() {
		content := ""
		if result.Content != nil {
			content = *result.Content
		}
		f.Add(content, []byte(result.Metadata), []byte(result.ToolCalls), int64(1765188673000000), 0.25, uint8(7), true)
	}
	f.Fuzz(func(t *testing.T, content string, metadata, tools []byte, micros int64, cost float64, code uint8, ok bool) {
		request := events.Request{ID: someID, RetryCount: int(code), Metadata: metadata}
		result := request.Completed(content, time.UnixMicro(micros%1e17).UTC())
		if !ok {
			failure := events.Failure{Code: events.Codes()[int(code)%len(events.Codes())], Message: content}
			result = request.Failed(failure, time.UnixMicro(micros%1e17).UTC())
		}
		result.Cost, result.ToolCalls = &cost, tools
		sent, err := result.Encode()
		if err != nil {
			return // TestEncodeRefuses says when.
		}
		got, err := events.DecodeResult(sent)
		if year := result.Timestamp.Year(); year < 0 || year > 9999 {
			return // Beyond RFC 3339.
		}
		if err != nil {
			t.Fatalf("DecodeResult(%q)\n got error %v\nwant none", sent, err)
		}
		if len(metadata) == 0 {
			result.Metadata = nil
		}
		content = strings.ToValidUTF8(content, "\ufffd")
		if ok && *got.Content != content && utf8.ValidString(*result.Content) {
			t.Fatalf("DecodeResult(%q)\n got content %q\nwant %q", sent, *got.Content, content)
		}
		got.Content, got.Error, result.Content, result.Error = nil, nil, nil, nil
		if !json.Valid(got.ToolCalls) && got.ToolCalls != nil {
			t.Fatalf("DecodeResult(%q)\n got tool calls %q\nwant JSON", sent, got.ToolCalls)
		}
		got.ToolCalls, result.ToolCalls = nil, nil
		if diff := cmp.Diff(result, got); diff != "" {
			t.Fatalf("DecodeResult(%q): -want +got\n%s", sent, diff)
		}
	})
}
