package inprocess_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// batched is a bench whose batches are collected every second.
func batched(t *testing.T, c simulator.BatchConfig, changes ...func(*config.Config)) *bench {
	t.Helper()
	return setupOn(t, servicetest.RunNATS(t), servicetest.RunOpenRouter(t, simulator.Config{Batch: c}), append([]func(*config.Config){oftenBatched}, changes...)...)
}

func oftenBatched(c *config.Config) { c.BatchMaxWait = time.Second }

// together is for tests whose requests must meet in a batch, also on a busy machine.
func together(c *config.Config) { c.BatchMaxWait = 8 * time.Second }

// askBatched asks with tier batch.
func (b *bench) askBatched(prompt string, more map[string]any) string {
	b.t.Helper()
	if more == nil {
		more = map[string]any{}
	}
	more["tier"] = "batch"
	return b.Ask(prompt, more)
}

// Requests of two models that may wait become two batches, and cost half of what they
// would have.
func TestBatch(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{}, together)
	b.start()
	var ids []string
	for i := range 20 {
		model := []string{"google/gemini-2.5-flash", "google/gemini-2.5-flash-lite"}[i%2]
		ids = append(ids, b.askBatched(fmt.Sprintf("question %d", i), map[string]any{"model": model, "metadata": map[string]any{"n": i}}))
	}
	cost := 0.0
	for i, id := range ids {
		got := b.Result(id).Result
		if got.Status != events.StatusSuccess || got.Content == nil || *got.Content == "" || string(got.Metadata) != fmt.Sprintf(`{"n":%d}`, i) || got.Cost == nil || got.Usage == nil ||
			got.ServiceTier == nil || *got.ServiceTier != events.TierBatch || got.Attempts != 1 {
			t.Fatalf("result: %+v", got)
		}
		cost += *got.Cost
	}
	b.Idle()
	batches, total := b.openrouter.Batches(), 0.0
	for _, one := range batches {
		total += one.Cost
	}
	if len(batches) != 2 || b.openrouter.Count() != 0 {
		t.Errorf("batches: %d, calls: %d; want 2 and none", len(batches), b.openrouter.Count())
	}
	if math.Abs(cost-total) > 1e-9 || cost == 0 {
		t.Errorf("the results cost %v, the batches %v", cost, total)
	}
	if n := len(b.Results()); n != len(ids) {
		t.Errorf("results: %d, want %d", n, len(ids))
	}
	b.wantOnce()
	for _, line := range []string{`"batch submitted"`, `"batch completed"`} {
		if !strings.Contains(b.log.String(), line) {
			t.Errorf("the log lacks %s", line)
		}
	}
	b.Until("each schedule was replaced, and is delivered", func() (string, bool) { // by one that is due at once
		n := strings.Count(b.log.String(), `"msg":"request duplicate"`)
		return fmt.Sprint(n), n == len(ids)
	})
	if strings.Contains(b.log.String(), `"level":"INFO","msg":"request duplicate"`) {
		t.Error("each answered request has a second line at INFO")
	}
}

// wantOnce checks that no request was run twice in batches.
func (b *bench) wantOnce() {
	b.t.Helper()
	runs := map[string]int{}
	for _, run := range b.openrouter.BatchRuns() {
		if runs[run.Prompt]++; runs[run.Prompt] > 1 {
			b.t.Errorf("%q was run %d times", run.Prompt, runs[run.Prompt])
		}
	}
}

// A worker may die when it has stored a request's schedule and not yet its mark. The
// request is still in its queue then, and is marked when it comes again.
func TestBatchMarkIsMadeUpFor(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.provision()
	id := servicetest.NewID()
	body := servicetest.Body(id, "half enrolled", map[string]any{"tier": "batch"})
	waits := events.BatchState{Group: "0123456789abcdef", Since: time.Now()}
	b.schedule(body, nats.Header{events.HeaderBatch: {waits.String()}}, time.Now().Add(time.Hour))
	b.Publish(body, nil)
	b.start()
	if got := b.Result(id).Result; got.Status != events.StatusSuccess {
		t.Errorf("result: %+v", got)
	}
	b.Idle()
	if batches, calls := len(b.openrouter.Batches()), b.openrouter.Count(); batches != 1 || calls != 0 {
		t.Errorf("%d batches and %d calls, want 1 and none", batches, calls)
	}
}

// While the stream is not there, such a request stays in its queue.
func TestBatchMarkIsMadeUpForLater(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.provision()
	if err := b.JS.DeleteStream(b.Context(), b.Names.BatchStream()); err != nil {
		t.Fatal(err)
	}
	b.config.Provision = false
	body := servicetest.Body(servicetest.NewID(), "half enrolled", map[string]any{"tier": "batch"})
	waits := events.BatchState{Group: "0123456789abcdef", Since: time.Now()}
	b.schedule(body, nats.Header{events.HeaderBatch: {waits.String()}}, time.Now().Add(time.Hour))
	b.Publish(body, nil)
	b.start()
	b.Until("it was looked at", func() (string, bool) {
		return b.log.String(), strings.Contains(b.log.String(), "already rescheduled") || strings.Contains(b.log.String(), "cannot be marked")
	})
	if n := b.stream(b.Names.RequestsStream()).Msgs; n != 1 {
		t.Errorf("requests in the queue: %d, want 1", n)
	}
}

// Two batches of one model and one size, whose acceptance was lost at the same time, are
// told apart by what their results say.
func TestBatchesThatLookAlike(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.openrouter.SetFault(simulator.Fault{Name: "batch_lost", Times: 4})
	b.start()
	asked := map[string]string{}
	for i := range 20 {
		prompt := fmt.Sprintf("question %d", i)
		format := []string{"text", "json_object"}[i%2]
		more := map[string]any{"openrouter": map[string]any{"response_format": map[string]any{"type": format}}, "model": []string{"google/gemini-2.5-flash", "google/gemini-2.5-flash-lite"}[i/2%2]}
		asked[b.askBatched(prompt, more)] = prompt
	}
	for id, prompt := range asked {
		if got := b.Result(id).Result; got.Status != events.StatusSuccess || got.Cost == nil {
			t.Errorf("%s: %+v", prompt, got)
		}
	}
	b.Idle()
	b.wantOnce()
	if n := len(b.openrouter.Batches()); n < 4 {
		t.Errorf("batches: %d, want one a model and format", n)
	}
}

// A result from a batch belongs to the trace of its request.
func TestBatchKeepsTheTrace(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.start()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "traced", map[string]any{"tier": "batch"}), nats.Header{"traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"}})
	if got := b.Result(id).Header.Get("traceparent"); !strings.Contains(got, trace) {
		t.Errorf("traceparent: %q, want trace %s", got, trace)
	}
	b.Idle()
}
