package simulator_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

const batchesPath = "/api/v1/batches"

// batchBody returns a batch of prompts under the ids a, b, c and so on.
func batchBody(model string, prompts ...string) string {
	var list []string
	for i, prompt := range prompts {
		list = append(list, fmt.Sprintf(`{"custom_id":"%c","body":{"messages":[{"role":"user","content":%q}]}}`, 'a'+i, prompt))
	}
	return fmt.Sprintf(`{"endpoint":"/v1/chat/completions","model":%q,"completion_window":"24h","requests":[%s]}`, model, strings.Join(list, ","))
}

// shown is a batch as it is shown.
type shown struct {
	ID, Object, Endpoint, Model, Status string
	Window                              string                                 `json:"completion_window"`
	CreatedAt                           int64                                  `json:"created_at"`
	FinalizedAt                         *int64                                 `json:"finalized_at"`
	Counts                              struct{ Total, Completed, Failed int } `json:"request_counts"`
	Usage                               *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		Cost             float64
	}
	Results []struct {
		ID       string
		CustomID string `json:"custom_id"`
		Response *struct {
			StatusCode int `json:"status_code"`
			Body       whole
		}
		Error *struct{ Code any }
	}
	Error *struct {
		Code    any
		Message string
	}
}

func (b *bench) submit(t *testing.T, body string) answer {
	t.Helper()
	return b.do(t.Context(), http.MethodPost, batchesPath, testKey, body)
}

// stored submits a batch that must be stored, and returns its id.
func (b *bench) stored(t *testing.T, prompts ...string) string {
	t.Helper()
	got := b.submit(t, batchBody("google/gemini-2.5-flash", prompts...))
	if got.status != http.StatusAccepted {
		t.Fatalf("got %d %s %v", got.status, got.body, got.err)
	}
	return parse[shown](t, got.body).ID
}

func (b *bench) look(t *testing.T, id string) shown {
	t.Helper()
	got := b.get(t, batchesPath+"/"+id, testKey)
	if got.status != http.StatusOK {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	return parse[shown](t, got.body)
}

func TestABatchRuns(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	got := b.submit(t, batchBody("google/gemini-3.5-flash-lite:batch", "why?", "how? [sim:500]", "when? [sim:cut]", "[sim:520]", "[sim:batch_dropped]"))
	batch := parse[shown](t, got.body)
	if got.status != http.StatusAccepted || batch.Status != "validating" || batch.Object != "batch" || batch.Window != "24h" || batch.Counts.Total != 5 ||
		batch.FinalizedAt != nil || batch.Model != "google/gemini-3.5-flash-lite" || batch.Endpoint != "/v1/chat/completions" || !strings.Contains(got.body, `"usage":null,"results":null,"error":null`) {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	for _, want := range []string{"in_progress", "finalizing", "completed", "completed"} {
		if batch = b.look(t, batch.ID); batch.Status != want || (batch.Results != nil) != (want == "completed") {
			t.Fatalf("got %+v, want %s", batch, want)
		}
	}
	if batch.Counts != (struct{ Total, Completed, Failed int }{5, 2, 3}) || len(batch.Results) != 4 || batch.FinalizedAt == nil {
		t.Errorf("got %+v", batch)
	}
	statuses := make(map[string]int)
	cost := 0.0
	for _, r := range batch.Results {
		if r.Response != nil {
			statuses[r.CustomID] = r.Response.StatusCode
			cost += r.Response.Body.Usage.Cost
		}
	}
	if fmt.Sprint(statuses) != "map[a:200 b:500 c:200]" {
		t.Errorf("got %v", statuses)
	}
	half := float64(batch.Usage.PromptTokens)*0.15e-6 + float64(batch.Usage.CompletionTokens)*1.25e-6
	for name, got := range map[string]float64{"items": cost, "batch": batch.Usage.Cost, "Cost": b.Cost(), "Stats": b.Stats().BatchCost} {
		if math.Abs(got-half) > 1e-12 {
			t.Errorf("%s: billed %v, want %v", name, got, half)
		}
	}
	if runs := b.BatchRuns(); len(runs) != 5 || runs[0].CustomID != "a" || runs[0].Cost == 0 || runs[1].Status != 500 || runs[1].Cost != 0 || runs[0].Key != testKey {
		t.Errorf("runs %+v", runs)
	}
	if b.BatchRunsFor("why?") != 1 || b.BatchRunsFor("how? [sim:500]") != 0 || b.Count() != 0 || b.Stats().BatchItems != 2 {
		t.Errorf("counts %+v", b.Stats())
	}
	if usage := b.get(t, "/api/v1/key", testKey); !strings.Contains(usage.body, `"usage":0.0`) || strings.Contains(usage.body, `"usage":0,`) {
		t.Errorf("key: %s", usage.body)
	}
}

func TestTimeOfBatches(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Batch: simulator.BatchConfig{Step: time.Minute}})
	id := b.stored(t, "why?")
	for _, want := range []string{"validating", "validating", "in_progress", "in_progress", "finalizing", "finalizing", "completed"} {
		if got := b.look(t, id).Status; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		b.AdvanceBatchClock(31 * time.Second)
	}
	manual := start(t, simulator.Config{Batch: simulator.BatchConfig{Step: simulator.BatchManual}})
	id = manual.stored(t, "why?")
	for _, want := range []string{"validating", "in_progress", "finalizing", "completed"} {
		for range 2 {
			if got := manual.look(t, id).Status; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		manual.AdvanceBatches()
	}
	if manual.Stats().BatchReads != 8 || manual.Stats().Batches != 1 || manual.Stats().BatchesEnded != 1 {
		t.Errorf("counts %+v", manual.Stats())
	}
}

func TestBatchesThatEndOtherwise(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Batch: simulator.BatchConfig{Step: simulator.BatchManual}})
	lost := b.stored(t, "one", "two", "three [sim:batch_expired ran=2]")
	stopped := b.stored(t, "four [sim:batch_cancelled]")
	stuck := b.stored(t, "five [sim:batch_stuck]")
	sick := b.stored(t, "six [sim:batch_failed]", "seven")
	ended := b.stored(t, "eight", "nine")
	for range 4 {
		b.AdvanceBatches()
		b.EndBatch(ended, "expired", 1)
	}
	for id, want := range map[string]string{lost: "expired", stopped: "cancelled", stuck: "in_progress", sick: "failed", ended: "expired"} {
		if got := b.look(t, id); got.Status != want || got.Results != nil || (got.Error != nil) != (want == "failed" || want == "expired") {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	var ran []string
	for _, run := range b.BatchRuns() {
		ran = append(ran, run.Prompt)
	}
	if strings.Join(ran, " ") != "eight one two" || b.Cost() == 0 || b.EndBatch(ended, "failed", 0) || b.EndBatch("batch_none", "failed", 0) {
		t.Errorf("ran %q, cost %v", ran, b.Cost())
	}
	b.AdvanceBatchClock(23 * time.Hour)
	if got := b.look(t, stuck).Status; got != "in_progress" {
		t.Errorf("after 23 hours: %s", got)
	}
	b.AdvanceBatchClock(time.Hour)
	if got := b.look(t, stuck); got.Status != "expired" || got.Error == nil {
		t.Errorf("after 24 hours: %+v", got)
	}
}

func TestVertexHasFourDays(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Batch: simulator.BatchConfig{Step: simulator.BatchManual}})
	body := strings.Replace(batchBody("google/gemini-2.5-flash", "why?"), `"requests"`, `"provider":{"only":["google-vertex/global"]},"requests"`, 1)
	id := parse[shown](t, b.submit(t, body).body).ID
	for _, want := range []string{"validating", "expired"} {
		b.AdvanceBatchClock(48 * time.Hour)
		if got := b.look(t, id).Status; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestBatchesAreKeptForThirtyDays(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	id := b.stored(t, "why?")
	b.AdvanceBatchClock(30*24*time.Hour - time.Minute)
	b.look(t, id)
	b.AdvanceBatchClock(time.Minute)
	if got := b.get(t, batchesPath+"/"+id, testKey); got.status != http.StatusNotFound {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := b.get(t, batchesPath, testKey); strings.Contains(got.body, id) {
		t.Errorf("got %s", got.body)
	}
}

func TestItemsWithoutCost(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Batch: simulator.BatchConfig{NoItemCost: true, Step: simulator.BatchManual}})
	id := b.stored(t, "why?")
	for range 3 {
		b.AdvanceBatches()
	}
	got := b.get(t, batchesPath+"/"+id, testKey).body
	batch := parse[map[string]json.RawMessage](t, got)
	if results := string(batch["results"]); strings.Contains(results, "cost") || !strings.Contains(results, `"prompt_tokens":1`) {
		t.Errorf("got %s", results)
	}
	if !strings.Contains(string(batch["usage"]), `"cost":0.0`) || !strings.Contains(string(batch["usage"]), `"is_byok":false`) {
		t.Errorf("got %s", batch["usage"])
	}
}
