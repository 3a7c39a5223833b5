package inprocess_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
)

// What Batch does not take is answered in the ordinary way, or fails with a sentence if
// the request allows nothing else.
func TestBatchTakesNotEverything(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	image := []any{map[string]any{"role": "user", "content": []any{
		map[string]any{"type": "text", "text": "What is this?"},
		map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,iVBORw0KGgo="}},
	}}}
	tests := map[string]struct {
		more   map[string]any
		change func(*config.Config)
		want   string // a part of the sentence
	}{
		"deltas":                  {map[string]any{"stream": true}, nil, "no deltas"},
		"a near deadline":         {map[string]any{"deadline": soon}, nil, "the deadline is nearer"},
		"an image in the body":    {map[string]any{"messages": image, "prompt": nil}, nil, "data:"},
		"batches are off":         {nil, func(c *config.Config) { c.BatchMaxWait = 0 }, "BATCH_MAX_WAIT"},
		"a model without batches": {map[string]any{"model": "google/gemini-2.5-pro"}, nil, "does not have a :batch endpoint"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := batched(t, simulator.BatchConfig{}, quick)
			if tt.change != nil {
				tt.change(&b.config)
			}
			b.start()
			strict := map[string]any{"tier_fallback": false}
			maps.Copy(strict, tt.more)
			ordinary, failed := b.askBatched("the ordinary way", tt.more), b.askBatched("no other way", strict)
			if got := b.Result(ordinary).Result; got.Status != events.StatusSuccess {
				t.Errorf("with a fallback: %+v", got)
			}
			got := b.Result(failed).Result
			if got.ErrorCode == nil || *got.ErrorCode != events.InvalidRequest || !strings.Contains(*got.Error, tt.want) {
				t.Errorf("without one: %v %v, want invalid_request with %q", got.ErrorCode, got.Error, tt.want)
			}
			b.Idle()
			if calls, batches := b.openrouter.Count(), len(b.openrouter.Batches()); calls != 1 || batches != 0 {
				t.Errorf("%d calls and %d batches, want 1 and none", calls, batches)
			}
		})
	}
}

// A model whose batch was refused is not batched again for a while.
func TestBatchRefusedOnce(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.start()
	more := map[string]any{"model": "google/gemini-2.5-pro"}
	b.Result(b.askBatched("first", more))
	b.Idle()
	b.Result(b.askBatched("second", more))
	b.Idle()
	if n := strings.Count(b.log.String(), "OpenRouter refuses a batch"); n != 1 {
		t.Errorf("refused %d times, want once", n)
	}
}

// Where the stream is missing and may not be made, requests are answered all the same,
// and one line says why.
func TestBatchWithoutAStream(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.provision()
	if err := b.JS.DeleteStream(b.Context(), b.Names.BatchStream()); err != nil {
		t.Fatal(err)
	}
	b.config.Provision = false
	b.start()
	for range 3 {
		b.Result(b.askBatched("the ordinary way", nil))
	}
	b.Idle()
	got := b.Result(b.askBatched("no other way", map[string]any{"tier_fallback": false})).Result
	if got.ErrorCode == nil || !got.ErrorCode.Retryable() {
		t.Errorf("without a fallback: %+v", got)
	}
	b.Idle()
	if n := strings.Count(b.log.String(), "requests with tier batch are answered in the ordinary way"); n != 1 || b.openrouter.Count() != 3 {
		t.Errorf("%d lines and %d calls, want 1 and 3", n, b.openrouter.Count())
	}
}

// A batch that expires, is cancelled, or that OpenRouter does not know any more costs
// time: its requests go on in the ordinary way.
func TestBatchWithoutResults(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"expired", "cancelled", "forgotten"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			b := batched(t, simulator.BatchConfig{Step: simulator.BatchManual})
			b.start()
			ids := []string{b.askBatched("one", nil), b.askBatched("two", nil)}
			strict := b.askBatched("three", map[string]any{"tier_fallback": false})
			b.submitted(1)
			if status == "forgotten" {
				b.openrouter.AdvanceBatchClock(31 * 24 * time.Hour)
			} else {
				b.openrouter.EndBatch(b.openrouter.Batches()[0].ID, status, 0)
			}
			for _, id := range ids {
				if got := b.Result(id).Result; got.Status != events.StatusSuccess || got.RetryCount != 0 {
					t.Errorf("result: %+v", got)
				}
			}
			if got := b.Result(strict).Result; got.ErrorCode == nil || !got.ErrorCode.Retryable() {
				t.Errorf("without a fallback: %+v", got)
			}
			b.Idle()
			if n := b.openrouter.Count(); n != 2 {
				t.Errorf("calls: %d, want 2", n)
			}
		})
	}
}

// submitted waits until OpenRouter has so many batches, and the service knows it.
func (b *bench) submitted(n int) {
	b.t.Helper()
	b.Until("the batches are submitted", func() (string, bool) {
		return b.log.String(), strings.Count(b.log.String(), `"batch submitted"`) >= n
	})
}

// A model that goes while a batch waits has its requests answered in the ordinary way,
// where a fallback takes over. Without one they fail.
func TestBatchOfAModelThatGoes(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{}, func(c *config.Config) { c.FallbackModels = []string{"google/gemini-3.5-flash-lite"} })
	b.start()
	const gone = "Why? [sim:404_gone model=google/gemini-2.5-flash]"
	answered, failed := b.askBatched(gone, nil), b.askBatched(gone+"!", map[string]any{"tier_fallback": false})
	if got := b.Result(answered).Result; got.Status != events.StatusSuccess || !strings.HasPrefix(*got.ModelUsed, "google/gemini-3.5-flash-lite") {
		t.Errorf("with a fallback: %+v, want an answer of the successor", got)
	}
	if got := b.Result(failed).Result; got.ErrorCode == nil || *got.ErrorCode != events.ModelUnavailable {
		t.Errorf("without one: %+v, want model_unavailable", got)
	}
}
