package inprocess_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// rewriteJobs changes the records of n jobs.
func (b *bench) rewriteJobs(n int, change func(body string) string) {
	b.t.Helper()
	for _, r := range b.Collect(b.Names.BatchStream(), b.Names.BatchRecord("jobs", "*"), n) {
		if _, err := b.JS.Publish(b.Context(), r.Subject, []byte(change(string(r.Body)))); err != nil {
			b.t.Fatal(err)
		}
	}
}

// guessed makes a record say that its batch was found, and is this one.
func guessed(body, batch string) string {
	return regexp.MustCompile(`"batch":"[^"]*"`).ReplaceAllString(body, `"guessed":true,"batch":"`+batch+`"`)
}

func (b *bench) advanceBatches() {
	for range 3 {
		b.openrouter.AdvanceBatches()
	}
}

// A batch that was found may be another job's. If it ends without results, that says
// nothing of the job that took it: its own batch runs, and is not to be paid twice.
func TestBatchThatEndsIsAnothers(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"failed", "expired"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			b := batched(t, simulator.BatchConfig{Step: simulator.BatchManual, Names: simulator.NamesNothing}, together)
			b.start()
			for i := range 8 {
				format := []string{"text", "json_object"}[i%2]
				b.askBatched(fmt.Sprintf("question %d", i), map[string]any{"openrouter": map[string]any{"response_format": map[string]any{"type": format}}})
			}
			b.submitted(2)
			both := b.openrouter.Batches()
			b.rewriteJobs(2, func(body string) string {
				if strings.Contains(body, both[0].ID) {
					return guessed(body, both[1].ID)
				}
				return guessed(body, both[0].ID)
			})
			b.openrouter.EndBatch(both[0].ID, end, 0)
			b.Until("the batch is given up", func() (string, bool) {
				return b.log.String(), strings.Contains(b.log.String(), "another job's") || strings.Contains(b.log.String(), `"batch split"`) || strings.Contains(b.log.String(), `"batch expired"`)
			})
			b.advanceBatches()
			b.Until("the first ones are answered", func() (string, bool) { return "", len(b.Results()) >= 4 })
			b.advanceUntil(8)
			for _, r := range b.Results() {
				if r.Result.Status != events.StatusSuccess {
					t.Errorf("result: %s", r.Body)
				}
			}
			b.Idle()
			b.wantOnce()
			if n := b.openrouter.Count(); n != 0 {
				t.Errorf("calls: %d, want none", n)
			}
		})
	}
}

// advanceUntil moves batches on until there are so many results.
func (b *bench) advanceUntil(n int) {
	b.t.Helper()
	b.Until("all are answered", func() (string, bool) {
		b.openrouter.AdvanceBatches()
		return fmt.Sprint(len(b.Results())), len(b.Results()) >= n
	})
}

// Another service with the same key has batches of the same model, whose first jobs are
// made of the same groups and marks. What is found of it answers nothing here.
func TestBatchOfAnotherService(t *testing.T) {
	t.Parallel()
	router := servicetest.RunOpenRouter(t, simulator.Config{
		Batch: simulator.BatchConfig{Step: simulator.BatchManual}, Answer: func(p simulator.Prompt) string { return "answer to " + p.Text },
	})
	ours := setupOn(t, servicetest.RunNATS(t), router, oftenBatched)
	theirs := setupOn(t, servicetest.RunNATS(t), router, oftenBatched)
	theirs.start()
	theirID := theirs.askBatched("their question", nil)
	theirs.submitted(1)
	ours.start()
	id := ours.askBatched("our question", nil)
	ours.submitted(1)
	ours.rewriteJobs(1, func(body string) string { return guessed(body, router.Batches()[0].ID) })
	ours.advanceUntil(1)
	if got := ours.Result(id).Result; got.Content == nil || *got.Content != "answer to our question" {
		t.Errorf("result: %+v", got)
	}
	if got := theirs.Result(theirID).Result; got.Content == nil || *got.Content != "answer to their question" {
		t.Errorf("their result: %+v", got)
	}
	ours.Idle()
	ours.wantOnce()
}
