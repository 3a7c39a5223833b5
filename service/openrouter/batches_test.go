package openrouter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gemini-client/service/openrouter"
	"gemini-client/service/openrouter/simulator"
)

// withSimulator returns a simulator and a client that calls it.
func withSimulator(t *testing.T, config simulator.Config) (*simulator.Simulator, *openrouter.Client) {
	t.Helper()
	sim := simulator.New(config)
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return sim, newClient(t, openrouter.Config{BaseURL: at(server.URL + "/api/v1")})
}

func job() openrouter.BatchJob { return openrouter.BatchJob{Model: "google/gemini-2.5-flash"} }

// items asks each prompt under the id of its place: item-0, item-1 and so on.
func items(prompts ...string) iter.Seq2[openrouter.BatchItem, error] {
	return func(yield func(openrouter.BatchItem, error) bool) {
		for i, prompt := range prompts {
			item := openrouter.BatchItem{CustomID: fmt.Sprintf("item-%d", i), Request: openrouter.Request{Prompt: prompt}}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// results reads a batch until it has ended.
func results(t *testing.T, client *openrouter.Client, id string) (openrouter.Batch, map[string]openrouter.BatchResult) {
	t.Helper()
	for range 10 {
		got := make(map[string]openrouter.BatchResult)
		batch, err := client.Batch(t.Context(), testKey, id, func(r openrouter.BatchResult) error {
			if _, twice := got[r.CustomID]; twice {
				t.Errorf("a second result for %s", r.CustomID)
			}
			got[r.CustomID] = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if batch.Ended() {
			return batch, got
		}
	}
	t.Fatal("the batch does not end")
	return openrouter.Batch{}, nil
}

func TestBatch(t *testing.T) {
	t.Parallel()
	sim, client := withSimulator(t, simulator.Config{})
	prompts := []string{
		"Why is the sky blue?", "[sim:429 retry_after=3]", "[sim:finish_error]", "[sim:batch_error code=server_error]", "[sim:batch_dropped]",
	}
	batch, err := client.SubmitBatch(t.Context(), testKey, job(), items(prompts...))
	if err != nil {
		t.Fatal(err)
	}
	if batch.ID == "" || batch.Status != openrouter.BatchValidating || batch.Total != 5 || batch.Model != job().Model || time.Since(batch.CreatedAt) > time.Hour || batch.Ended() {
		t.Errorf("got %+v", batch)
	}
	batch, got := results(t, client, batch.ID)
	if batch.Status != openrouter.BatchCompleted || batch.Completed != 2 || batch.Failed != 3 || batch.FinalizedAt.IsZero() || batch.Error != nil {
		t.Errorf("got %+v", batch)
	}
	if len(got) != 4 {
		t.Fatalf("got %d results", len(got))
	}
	first := got["item-0"].Completion
	if first == nil || got["item-0"].Err != nil || !strings.Contains(first.Content, "sky blue") || !strings.HasPrefix(first.ID, "gen-batch-") || !first.FirstToken.IsZero() {
		t.Fatalf("got %+v", got["item-0"])
	}
	half := float64(first.Usage.PromptTokens)*0.15e-6 + float64(first.Usage.CompletionTokens)*1.25e-6
	if first.Usage.Cost == nil || fmt.Sprintf("%.9f", *first.Usage.Cost) != fmt.Sprintf("%.9f", half) {
		t.Errorf("got usage %+v, want a cost of %v", first.Usage, half)
	}
	if batch.Usage == nil || batch.Usage.Cost == nil || fmt.Sprintf("%.9f", *batch.Usage.Cost) != fmt.Sprintf("%.9f", sim.Cost()) || batch.BYOK {
		t.Errorf("got usage %+v, billed %v", batch.Usage, sim.Cost())
	}
	if e := got["item-1"].Err; e == nil || e.Kind != openrouter.KindStatus || e.Status != 429 || !e.Retryable || e.Edge {
		t.Errorf("got %+v", e)
	}
	if e := got["item-2"].Err; e == nil || e.Kind != openrouter.KindFinishError || e.Usage == nil {
		t.Errorf("got %+v", e)
	}
	if e := got["item-3"].Err; e == nil || e.Kind != openrouter.KindStatus || e.Status != 500 || e.Code != "server_error" {
		t.Errorf("got %+v", e)
	}
	if sim.BatchRunsFor(prompts[0]) != 1 || len(sim.BatchRuns()) != 5 {
		t.Errorf("run: %+v", sim.BatchRuns())
	}
}

func TestAnInvalidItemIsNamed(t *testing.T) {
	t.Parallel()
	for names, want := range map[simulator.BatchNames]openrouter.BatchError{
		simulator.NamesCustomID: {CustomID: "item-1", Index: -1}, simulator.NamesIndex: {Index: 1}, simulator.NamesNothing: {Index: -1},
	} {
		sim, client := withSimulator(t, simulator.Config{Batch: simulator.BatchConfig{Names: names}})
		batch, err := client.SubmitBatch(t.Context(), testKey, job(), items("Why?", "[sim:batch_invalid]", "How?"))
		if err != nil {
			t.Fatal(err)
		}
		batch, got := results(t, client, batch.ID)
		if e := batch.Error; batch.Status != openrouter.BatchFailed || e == nil || e.CustomID != want.CustomID || e.Index != want.Index || !strings.Contains(e.Error(), "Invalid input") || e.Type != "invalid_request" || e.Code != "400" {
			t.Errorf("got %+v, %+v, want %+v", batch, batch.Error, want)
		}
		if len(got) != 0 || sim.Cost() != 0 || len(sim.BatchRuns()) != 0 {
			t.Errorf("got %v, run %v", got, sim.BatchRuns())
		}
	}
}

func TestListAndDelete(t *testing.T) {
	t.Parallel()
	sim, client := withSimulator(t, simulator.Config{})
	var want []string
	for range 103 {
		batch, err := client.SubmitBatch(t.Context(), testKey, job(), items("Why?"))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, batch.ID)
	}
	slices.Reverse(want)
	list := func(key string, since time.Time) (ids []string, pages int) {
		for next := ""; pages == 0 || next != ""; pages++ {
			page, after, err := client.Batches(t.Context(), key, since, next)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page {
				ids = append(ids, b.ID)
			}
			next = after
		}
		return ids, pages
	}
	if got, pages := list(testKey, time.Now().Add(-time.Minute)); !slices.Equal(got, want) || pages != 2 {
		t.Errorf("got %d in %d pages", len(got), pages)
	}
	if got, _ := list(testKey, time.Now().Add(time.Minute)); len(got) != 0 {
		t.Errorf("got %v, created later", got)
	}
	if got, _ := list("sk-or-v1-another", time.Time{}); len(got) != 0 {
		t.Errorf("got another key's %v", got)
	}
	if e := asError(t, client.DeleteBatch(t.Context(), testKey, want[0])); e.Status != 409 || e.Retryable {
		t.Errorf("got %+v", e)
	}
	sim.EndBatch(want[0], "cancelled", 0)
	if err := client.DeleteBatch(t.Context(), testKey, want[0]); err != nil {
		t.Error(err)
	}
	for _, id := range []string{want[0], "batch_unknown", "a/b"} {
		if e := asError(t, client.DeleteBatch(t.Context(), testKey, id)); e.Status != 404 || e.Edge {
			t.Errorf("delete %s: got %+v", id, e)
		}
		if _, err := client.Batch(t.Context(), testKey, id, nil); asError(t, err).Status != 404 {
			t.Errorf("get %s: got %v", id, err)
		}
	}
	for _, id := range []string{"", ".", ".."} {
		if e := asError(t, client.DeleteBatch(t.Context(), testKey, id)); e.Kind != openrouter.KindRequest {
			t.Errorf("delete %q: got %+v", id, e)
		}
	}
}

// TestAreTheyStored is the question that a caller has after an error.
func TestAreTheyStored(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		marker string
		model  string
		status int
		may    bool // be stored
		stored int
	}{
		"refused with 503":          {marker: "[sim:batch_refused]", status: 503, may: true},
		"refused with 429":          {marker: "[sim:batch_refused code=429 retry_after=2]", status: 429},
		"refused with 408":          {marker: "[sim:batch_refused code=408]", status: 408, may: true},
		"refused with 401":          {marker: "[sim:batch_refused code=401]", status: 401},
		"redirected":                {marker: "[sim:batch_refused code=307]", status: 307},
		"lost by a reset":           {marker: "[sim:batch_lost]", may: true, stored: 1},
		"lost by a close":           {marker: "[sim:batch_lost how=close]", may: true, stored: 1},
		"stored with a 502":         {marker: "[sim:batch_lost code=502]", status: 502, may: true, stored: 1},
		"a model without batches":   {model: "openai/gpt-4o-mini", status: 400},
		"a model that searches":     {model: "google/gemini-2.5-flash:online", status: 422},
		"a key that is not one":     {marker: "[sim:batch_refused code=403]", status: 403},
		"a batch that is too large": {marker: "[sim:batch_refused code=413]", status: 413},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, client := withSimulator(t, simulator.Config{})
			j := job()
			if tt.model != "" {
				j.Model = tt.model
			}
			batch, err := client.SubmitBatch(t.Context(), testKey, j, items("Why? "+tt.marker))
			e := asError(t, err)
			if e.Status != tt.status || e.MayBeStored != tt.may || batch.ID != "" || sim.Stats().Batches != tt.stored {
				t.Errorf("got %+v, stored %d", e, sim.Stats().Batches)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		_, err := newClient(t, openrouter.Config{BaseURL: at(nobody)}).SubmitBatch(t.Context(), testKey, job(), items("Why?"))
		if e := asError(t, err); e.Kind != openrouter.KindConnection || e.MayBeStored || !e.Retryable {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("cancelled after the upload", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			_, err := io.Copy(io.Discard, r.Body)
			cancel()
			return nil, errors.Join(err, r.Context().Err())
		})
		_, err := newClient(t, openrouter.Config{Transport: transport}).SubmitBatch(ctx, testKey, job(), items("Why?"))
		if e := asError(t, err); e.Kind != openrouter.KindCancelled || !e.MayBeStored || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", e)
		}
	})
}
