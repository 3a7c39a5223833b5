//go:build integration

package integration

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// ordinaryPrices are those of the models that are batched, in USD per token of the prompt
// and of the answer (reference, 2026-10-03).
func ordinaryPrices() map[string][2]float64 {
	return map[string][2]float64{
		"google/gemini-2.5-flash":      {0.30e-6, 2.50e-6},
		"google/gemini-3.5-flash-lite": {0.30e-6, 2.50e-6},
		"google/gemini-2.5-flash-lite": {0.10e-6, 0.40e-6},
	}
}

// TestBatchesAndKills: 1,200 requests of three models with tier batch, one of them
// invalid, two workers that are killed five times. That one fails, every other is run once,
// and they cost half.
func TestBatchesAndKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{
		replicas: 2, upstream: simulator.Config{Batch: simulator.BatchConfig{Step: 1500 * time.Millisecond, Names: simulator.NamesNothing}},
		env: map[string]string{"ACK_WAIT": "3s", "BATCH_MAX_WAIT": "2s"},
	})
	for _, r := range w.replicas { // whoever goes on with a batch has to see it
		r.env = append(r.env, fmt.Sprintf("OPENROUTER_API_KEYS=%s,%s", w.replicas[0].key, w.replicas[1].key))
	}
	const n = 1200
	var questions []question
	var bodies [][]byte
	asked := map[string]string{} // models by request
	models := []string{"google/gemini-2.5-flash", "google/gemini-3.5-flash-lite", "google/gemini-2.5-flash-lite"}
	for i := range n {
		q := question{id: servicetest.NewID(), prompt: fmt.Sprintf("Question %d?", i)}
		if i == 777 {
			q.prompt, q.wantFailed = q.prompt+" [sim:batch_invalid]", events.InvalidRequest
		}
		questions = append(questions, q)
		asked[q.id] = models[i%len(models)]
		bodies = append(bodies, servicetest.Body(q.id, q.prompt, map[string]any{"tier": "batch", "model": asked[q.id]}))
	}
	w.run()
	begin := time.Now()
	published := make(chan error, 1)
	go func() { published <- w.publish(t.Context(), bodies, 4*time.Second) }()
	for kill := range 5 {
		w.must(pause(t.Context(), time.Second+rand.N(5*time.Second)))
		victim := w.replicas[kill%2]
		victim.kill()
		w.must(victim.start(t.Context()))
	}
	w.must(<-published)
	w.settled(4*time.Minute, n)
	took := time.Since(begin)
	w.leave()
	results := w.checkStreams(questions)
	runs, twice := map[string]int{}, 0
	for _, run := range w.upstream.BatchRuns() {
		if runs[run.Prompt]++; runs[run.Prompt] == 2 {
			twice++
			t.Errorf("%q was run twice in batches", run.Prompt)
		}
	}
	cost, ordinary := 0.0, 0.0
	for _, r := range results {
		if r.Result.Status != events.StatusSuccess {
			continue
		}
		price := ordinaryPrices()[asked[r.Result.RequestID]]
		cost += *r.Result.Cost
		ordinary += price[0]*float64(r.Result.Usage.PromptTokens) + price[1]*float64(r.Result.Usage.CompletionTokens)
	}
	t.Logf("1,200 requests of three models with tier batch, one invalid, two workers, five kill -9: %d results, %d batches, %d requests run in them, %d twice, %d ordinary calls; USD %.6f in place of %.6f; all over after %s",
		len(results), len(w.upstream.Batches()), len(w.upstream.BatchRuns()), twice, w.upstream.Count(), cost, ordinary, took.Round(time.Second))
	if math.Abs(cost/ordinary-0.5) > 0.001 {
		t.Errorf("cost: USD %v, want half of %v", cost, ordinary)
	}
	atMost(t, "ordinary calls", w.upstream.Count(), 1)
}

// TestBatchIsFull: what fills a batch does not wait for BATCH_MAX_WAIT, and what is too
// much for it does.
func TestBatchIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{env: map[string]string{"BATCH_MAX_WAIT": "1h"}})
	const most, n = 5000, 5010
	var bodies [][]byte
	for i := range n {
		bodies = append(bodies, servicetest.Body(servicetest.NewID(), fmt.Sprintf("Question %d?", i), map[string]any{"tier": "batch"}))
	}
	w.must(w.publish(t.Context(), bodies, 0))
	w.run()
	w.until(3*time.Minute, "a full batch", func() (string, bool) {
		var totals []int
		for _, b := range w.upstream.Batches() {
			totals = append(totals, b.Total)
		}
		return fmt.Sprintf("batches of %v", totals), len(totals) == 1 && totals[0] == most
	})
	w.leave()
}
