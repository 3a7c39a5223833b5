package inprocess_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// One invalid request makes its batch fail. It is found, whatever the error names of it,
// and fails alone.
func TestBatchWithAnInvalidRequest(t *testing.T) {
	t.Parallel()
	for name, names := range map[string]simulator.BatchNames{
		"by its custom id": simulator.NamesCustomID, "by its number": simulator.NamesIndex, "by halves": simulator.NamesNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := batched(t, simulator.BatchConfig{Names: names})
			b.start()
			const n = 9
			var ids []string
			for i := range n {
				prompt := fmt.Sprintf("question %d", i)
				if i == 5 {
					prompt += " [sim:batch_invalid]"
				}
				ids = append(ids, b.askBatched(prompt, nil))
			}
			for i, id := range ids {
				got := b.Result(id).Result
				if i == 5 {
					if got.ErrorCode == nil || *got.ErrorCode != events.InvalidRequest || !strings.Contains(*got.Error, "Invalid input") {
						t.Errorf("the invalid one: %+v", got)
					}
				} else if got.Status != events.StatusSuccess {
					t.Errorf("another one: %+v", got)
				}
			}
			b.Idle()
			b.wantOnce()
			if calls := b.openrouter.Count(); calls != 1 {
				t.Errorf("calls: %d, want that of the invalid one alone", calls)
			}
			if runs := len(b.openrouter.BatchRuns()); runs != n-1 {
				t.Errorf("%d requests were run in batches, want %d", runs, n-1)
			}
		})
	}
}

// A batch that fails without any request being to blame is not halved for ever.
func TestBatchFailsForNoReason(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{Names: simulator.NamesNothing}, together)
	b.openrouter.SetFault(simulator.Fault{Name: "batch_failed"})
	b.start()
	const n = 64
	for i := range n {
		b.askBatched(fmt.Sprintf("question %d", i), nil)
	}
	for _, r := range b.Collect(b.Names.ResponsesStream(), "", n) {
		if r.Result.Status != events.StatusSuccess {
			t.Errorf("result: %s", r.Body)
		}
	}
	b.Idle()
	if batches, calls := len(b.openrouter.Batches()), b.openrouter.Count(); batches > 15 || calls != n {
		t.Errorf("%d batches and %d calls, want 15 at most and %d", batches, calls, n)
	}
}

// Of a batch that is completed some requests may have failed: for good, for a while, or
// without a word.
func TestBatchFailsInPart(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{NoItemCost: true}, quick, together)
	b.start()
	good := b.askBatched("good", nil)
	forGood := b.askBatched("bad [sim:400]", nil)
	again := b.askBatched("again [sim:503 times=1]", nil)
	dropped := b.askBatched("dropped [sim:batch_dropped]", nil)
	if got := b.Result(good).Result; got.Status != events.StatusSuccess || got.Cost == nil || *got.Cost <= 0 {
		t.Errorf("the good one: %+v", got)
	}
	if got := b.Result(forGood).Result; got.ErrorCode == nil || *got.ErrorCode != events.InvalidRequest {
		t.Errorf("the bad one: %+v", got)
	}
	if got := b.Result(again).Result; got.Status != events.StatusSuccess || got.RetryCount != 1 {
		t.Errorf("the one that failed for a while: %+v", got)
	}
	if got := b.Result(dropped).Result; got.Status != events.StatusSuccess || got.RetryCount != 0 {
		t.Errorf("the one without a result: %+v", got)
	}
	b.Idle()
	if batches, calls := len(b.openrouter.Batches()), b.openrouter.Count(); batches != 2 || calls != 1 {
		t.Errorf("%d batches and %d calls, want 2 and 1", batches, calls)
	}
}

// A batch whose acceptance was lost is found and not submitted again.
func TestBatchAcceptanceIsLost(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.openrouter.SetFault(simulator.Fault{Name: "batch_lost", Times: 2})
	b.start()
	var ids []string
	for i := range 10 {
		model := []string{"google/gemini-2.5-flash", "google/gemini-2.5-flash-lite"}[i%2]
		ids = append(ids, b.askBatched(fmt.Sprintf("question %d", i), map[string]any{"model": model}))
	}
	for _, id := range ids {
		if got := b.Result(id).Result; got.Status != events.StatusSuccess {
			t.Errorf("result: %+v", got)
		}
	}
	b.Idle()
	b.wantOnce()
	if n := len(b.openrouter.Batches()); n < 2 {
		t.Errorf("batches: %d, want one a model", n)
	}
}

// Trouble with the account or with OpenRouter costs time.
func TestBatchIsSubmittedAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"batch_refused code=503 times=2", "batch_refused code=402 times=1", "batch_refused code=429 retry_after=1 times=1", "batch_refused code=502 on=get times=2", "batch_cut times=1"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := batched(t, simulator.BatchConfig{}, func(c *config.Config) { c.KeysRestMax = time.Second })
			f, err := simulator.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			b.openrouter.SetFault(f)
			b.start()
			ids := []string{b.askBatched("one", nil), b.askBatched("two", nil)}
			for _, id := range ids {
				if got := b.Result(id).Result; got.Status != events.StatusSuccess {
					t.Errorf("result: %+v", got)
				}
			}
			b.Idle()
			b.wantOnce()
			if calls, batches := b.openrouter.Count(), len(b.openrouter.Batches()); calls != 0 || batches != 1 {
				t.Errorf("%d calls and %d batches, want none and 1", calls, batches)
			}
		})
	}
}

// A request that waits is known as such: it is cancelled at once, and a duplicate of it
// adds nothing.
func TestBatchWaits(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{Step: simulator.BatchManual}, func(c *config.Config) { c.BatchMaxWait = 12 * time.Second })
	b.start()
	early, late, kept := b.askBatched("cancelled early", nil), b.askBatched("cancelled late", nil), servicetest.NewID()
	for i := range 5 {
		b.Publish(servicetest.Body(kept, "asked five times", map[string]any{"tier": "batch"}), nats.Header{"Nats-Msg-Id": {fmt.Sprint(i)}})
	}
	b.Until("all wait", func() (string, bool) { return "", b.stream(b.Names.RequestsStream()).Msgs == 0 })
	b.cancel(early)
	if got := b.Result(early); !isCancelled(got.Result) {
		t.Errorf("result: %s", got.Body)
	}
	b.submitted(1)
	b.cancel(late)
	if got := b.Result(late); !isCancelled(got.Result) {
		t.Errorf("result: %s", got.Body)
	}
	for range 3 {
		b.openrouter.AdvanceBatches()
	}
	if got := b.Result(kept).Result; got.Status != events.StatusSuccess {
		t.Errorf("result: %+v", got)
	}
	b.Idle()
	if n := len(b.Results()); n != 3 {
		t.Errorf("results: %d, want 3", n)
	}
	if runs := b.openrouter.BatchRuns(); len(runs) != 2 || b.openrouter.Count() != 0 {
		t.Errorf("runs: %v, want the two that were not cancelled early", runs)
	}
}

// The deadline of a request that waits ends it at once, whatever its batch does.
func TestBatchDeadline(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.start()
	at := time.Now().Add(2 * time.Second)
	id := servicetest.NewID()
	body := servicetest.Body(id, "too late", map[string]any{"tier": "batch", "deadline": at.UTC().Format(time.RFC3339Nano)})
	waits := events.BatchState{Group: "0123456789abcdef", Since: time.Now()}
	b.schedule(body, nats.Header{events.HeaderBatch: {waits.String()}}, at)
	got := b.Result(id).Result
	if got.ErrorCode == nil || *got.ErrorCode != events.DeadlineExceeded {
		t.Errorf("result: %+v", got)
	}
	b.Idle()
}

// Two workers submit each request once.
func TestBatchOfTwoWorkers(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.provision()
	b.start()
	b.start()
	const n = 200
	for i := range n {
		b.askBatched(fmt.Sprintf("question %d", i), map[string]any{"model": []string{"google/gemini-2.5-flash", "google/gemini-2.5-flash-lite"}[i%2]})
	}
	b.Collect(b.Names.ResponsesStream(), "", n)
	b.Idle()
	b.wantOnce()
	if runs, calls := len(b.openrouter.BatchRuns()), b.openrouter.Count(); runs != n || calls != 0 {
		t.Errorf("%d requests were run in batches and %d were called for, want %d and none", runs, calls, n)
	}
}

// Two jobs that took each other's batches for their own find that out by the custom ids
// of the results.
func TestBatchesAreExchanged(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{Step: simulator.BatchManual}, together)
	b.start()
	for i := range 8 {
		format := []string{"text", "json_object"}[i%2]
		b.askBatched(fmt.Sprintf("question %d", i), map[string]any{"openrouter": map[string]any{"response_format": map[string]any{"type": format}}})
	}
	b.submitted(2)
	records := b.Collect(b.Names.BatchStream(), b.Names.BatchRecord("jobs", "*"), 2)
	ids := []string{}
	for _, one := range b.openrouter.Batches() {
		ids = append(ids, one.ID)
	}
	for _, r := range records {
		body := strings.NewReplacer(ids[0], ids[1], ids[1], ids[0]).Replace(string(r.Body))
		if _, err := b.JS.Publish(b.Context(), r.Subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		b.openrouter.AdvanceBatches()
	}
	for _, r := range b.Collect(b.Names.ResponsesStream(), "", 8) {
		if r.Result.Status != events.StatusSuccess {
			t.Errorf("result: %s", r.Body)
		}
	}
	b.Idle()
	b.wantOnce()
	if !strings.Contains(b.log.String(), "another job's than it was taken for") || len(b.openrouter.Batches()) != 2 {
		t.Errorf("nobody noticed; batches: %d", len(b.openrouter.Batches()))
	}
}
