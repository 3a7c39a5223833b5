package events_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gemini-client/events"
)

// reference is what encoding/json makes of a result, without its escapes for HTML,
// and with the metadata as it was sent.
func reference(r events.Result) (string, error) {
	type plain events.Result
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		plain

		Timestamp string   `json:"timestamp"`
		Metadata  struct{} `json:"metadata,omitzero"`
	}{plain: plain(r), Timestamp: r.Timestamp.UTC().Format("2006-01-02T15:04:05.000000Z")})
	metadata := string(r.Metadata)
	if metadata == "" {
		metadata = "null"
	}
	return strings.TrimSuffix(text.String(), "}\n") + `,"metadata":` + metadata + "}", err
}

func checkReference(t *testing.T, r events.Result) {
	t.Helper()
	want, wantErr := reference(r)
	got, err := r.Encode()
	if len(r.Metadata) > 0 && (!utf8.Valid(r.Metadata) || !json.Valid(r.Metadata) || r.Metadata[0] != '{') {
		return // it is refused, whatever the rest is
	}
	if (err != nil) != (wantErr != nil) || err == nil && string(got) != want {
		t.Errorf("Encode\n got %s, error %v\nwant %s, error %v", got, err, want, wantErr)
	}
}

func TestEncodeAsEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, result := range goldenResults() {
		checkReference(t, result)
		for _, number := range []float64{0, math.Copysign(0, -1), 1, 0.1, 1e-6, 9.999e-7, 1e-9, 1e-10, 1.5e-100, 1e20, 1e21, 123456789.123, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(-1)} {
			result.Cost, result.ProcessingTimeMS = &number, new(1.0)
			checkReference(t, result)
			result.Cost, result.ProcessingTimeMS = nil, &number
			checkReference(t, result)
			result.CostDetails = &events.CostDetails{Upstream: &number}
			checkReference(t, result)
		}
	}
	var every strings.Builder
	for r := range rune(0x300) {
		every.WriteRune(r)
	}
	for _, text := range []string{every.String(), "\u2028\u2029\ufffd", "a\xffb\xc3", "🙂\ud7ff", `"\/`, strings.Repeat("\x00", 100)} {
		result := events.Request{ID: text}.Completed(text, now())
		result.Reasoning, result.ToolCalls = &text, raw(" [ 1 ,\n{ \"a\\u2028\" : \"<\u2028>\" } ] ")
		checkReference(t, result)
		delta := events.Delta{RequestID: someID, Run: text, Attempt: -1, Index: 1 << 40, Content: text, Done: true}
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(delta)
		if got, err := delta.Encode(); err != nil || string(got)+"\n" != want.String() {
			t.Errorf("Encode of a delta\n got %s, error %v\nwant %s", got, err, want.String())
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("text", "reason", []byte(`{"a":1}`), []byte("[1, 2]"), 0.25, 1e-9, 3)
	f.Add("\u2028\xff\x01", "<&>\"\\", []byte(nil), []byte(nil), 1e21, 1e-7, -1)
	f.Fuzz(func(t *testing.T, text, more string, metadata, tools []byte, cost, took float64, n int) {
		result := events.Request{ID: someID, Metadata: metadata}.Completed(text, time.UnixMicro(int64(n)))
		result.Reasoning, result.ModelUsed, result.ServiceTier = &more, &text, &more
		result.ToolCalls, result.Cost, result.ProcessingTimeMS = tools, &cost, &took
		result.CostDetails = &events.CostDetails{UpstreamPrompt: &took, UpstreamCompletions: &cost}
		result.Usage = &events.Usage{PromptTokens: n, AudioTokens: &n, CachedTokens: &n}
		result.Attempts, result.RetryCount, result.Cached = n, -n, n%2 == 0
		checkReference(t, result)
		checkReference(t, events.Request{ID: more}.Failed(events.Failure{Code: events.Code(text), Message: more}, time.UnixMicro(int64(n))))
	})
}
