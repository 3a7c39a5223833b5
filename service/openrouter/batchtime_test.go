package openrouter_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter"
)

// wait is a time that passes, unless the context ends before.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// slowly reads an upload, so many bytes at a time with a pause before each, and then answers with what is left to do.
func slowly(t *testing.T, bytes int64, pause time.Duration, answer ...step) roundTrip {
	t.Helper()
	return func(r *http.Request) (*http.Response, error) {
		for {
			if err := wait(r.Context(), pause); err != nil {
				return nil, errors.Join(err, r.Body.Close())
			}
			if _, err := io.CopyN(io.Discard, r.Body, bytes); err != nil {
				break
			}
		}
		if len(answer) == 0 {
			<-r.Context().Done()
		}
		if r.Context().Err() != nil {
			return nil, context.Cause(r.Context())
		}
		return reply{status: http.StatusAccepted, steps: answer}.transport(t)(r)
	}
}

func TestTimeOfAnUpload(t *testing.T) {
	t.Parallel()
	ok := step{data: `{"id":"b"}`}
	tests := map[string]struct {
		bytes  int64
		pause  time.Duration // of the network
		think  time.Duration // of each item
		answer []step
		limit  time.Duration // of the context
		kind   openrouter.Kind
		may    bool // be stored
		after  time.Duration
	}{
		"slow but steady":            {bytes: 64 << 10, pause: 59 * time.Second, answer: []step{ok}, after: 8 * 59 * time.Second},
		"items that take their time": {bytes: 1 << 20, think: 10 * time.Minute, answer: []step{ok}, after: 100 * time.Minute},
		"it stands still":            {bytes: 1000, pause: time.Hour, kind: openrouter.KindGap, after: 60 * time.Second},
		"no answer":                  {bytes: 1 << 20, kind: openrouter.KindFirstToken, may: true, after: 60 * time.Second},
		"an answer without an end":   {bytes: 1 << 20, answer: []step{{data: `{"id":`}, {hang: true}}, kind: openrouter.KindCut, may: true, after: 5 * time.Second},
		"the context's deadline":     {bytes: 1000, pause: time.Second, limit: 20 * time.Second, kind: openrouter.KindCallTimeout, after: 20 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, start := t.Context(), time.Now()
				if tt.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, tt.limit)
					defer cancel()
					ctx = limited
				}
				client := newClient(t, openrouter.Config{Transport: slowly(t, tt.bytes, tt.pause, tt.answer...)})
				_, err := client.SubmitBatch(ctx, testKey, job(), func(yield func(openrouter.BatchItem, error) bool) {
					for range 10 {
						_ = wait(ctx, tt.think)
						if !yield(openrouter.BatchItem{CustomID: "x", Request: openrouter.Request{Prompt: strings.Repeat("x", 50<<10)}}, nil) {
							return
						}
					}
				})
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if tt.kind == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if e := asError(t, err); e.Kind != tt.kind || e.MayBeStored != tt.may {
					t.Errorf("got %+v", e)
				}
			})
		})
	}
}

func TestTimeOfADocument(t *testing.T) {
	t.Parallel()
	const x = `{"custom_id":"x"},`
	tests := map[string]struct {
		steps []step
		think time.Duration // of each result
		kind  openrouter.Kind
		after time.Duration
	}{
		"slow but steady":             {[]step{{data: `{"results":[`}, {wait: 29 * time.Second, data: x}, {wait: 29 * time.Second, data: x}, {wait: 29 * time.Second, data: `{}],"id":"b"}`}}, 0, "", 87 * time.Second},
		"results that take time":      {[]step{{data: `{"results":[` + x + x + `{}],`}, {data: `"id":"b"}`}}, time.Minute, "", 3 * time.Minute},
		"a result that takes time":    {[]step{{data: `{"results":[`}, {wait: 29 * time.Second, data: `{"custom_id"`}, {wait: 29 * time.Second, data: `:"x"`}, {wait: 29 * time.Second, data: `}],"id":"b"}`}}, 0, "", 87 * time.Second},
		"silence in the results":      {[]step{{data: `{"results":[` + x}, {hang: true}}, 0, openrouter.KindGap, 30 * time.Second},
		"silence after a slow result": {[]step{{data: `{"results":[` + x}, {hang: true}}, time.Minute, openrouter.KindGap, 90 * time.Second},
		"silence from the beginning":  {[]step{{hang: true}}, 0, openrouter.KindGap, 30 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				client := newClient(t, openrouter.Config{Transport: reply{steps: tt.steps}.transport(t)})
				_, err := client.Batch(t.Context(), testKey, "b", func(openrouter.BatchResult) error { return wait(t.Context(), tt.think) })
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if tt.kind == "" && err != nil || tt.kind != "" && asError(t, err).Kind != tt.kind {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestItemsThatFailDoNotWait has an answer under way when the items fail.
func TestItemsThatFailDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, own := time.Now(), errors.New("the queue is gone")
		client := newClient(t, openrouter.Config{Transport: reply{status: http.StatusAccepted, steps: []step{{hang: true}}}.transport(t)})
		_, err := client.SubmitBatch(t.Context(), testKey, job(), func(yield func(openrouter.BatchItem, error) bool) {
			synctest.Wait()
			yield(openrouter.BatchItem{}, own)
		})
		if took := time.Since(start); !errors.Is(err, own) || took != 0 {
			t.Errorf("got %v after %v", err, took)
		}
	})
}
