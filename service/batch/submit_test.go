package batch_test

import (
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
)

// A worker that was paused while it sent a batch finds that another one has taken the job
// up, and does not complete what that one submits again.
func TestSubmitIsTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator.BatchConfig{})
	b.loseWhileSent()
	if n := len(b.router.Batches()); n != 0 {
		t.Errorf("batches: %d, want none", n)
	}
}

// loseWhileSent has a request's batch sent by a worker from which another one takes the job
// meanwhile: nobody knows whether OpenRouter has it.
func (b *bench) loseWhileSent() {
	b.t.Helper()
	b.read = func(nth int) bool {
		if nth == 2 {
			record, err := b.bus.BatchRecord(b.t.Context(), "jobs", job)
			if err == nil {
				_, err = b.bus.PutBatchRecord(b.t.Context(), "jobs", record, time.Hour)
			}
			if err != nil {
				b.t.Error(err)
			}
		}
		return true
	}
	b.ask("Why?")
	b.tick(group)
	if _, err := b.Tick(b.t.Context(), job); err == nil {
		b.t.Error("no error")
	}
}

// Requests that are answered before they are sent make no batch, which is nothing that
// OpenRouter refused.
func TestSubmitNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator.BatchConfig{})
	b.read = func(nth int) bool { return nth == 1 }
	b.ask("Why?")
	b.tick(group)
	if next := b.tick(job); !next.IsZero() {
		t.Errorf("next %v, want the end", next)
	}
	if b.Refused(model) || len(b.returned) != 0 {
		t.Error("the model is said to be refused")
	}
}

// Requests that were enrolled before there was a budget are given back, since what a batch
// costs cannot be reserved.
func TestSubmitUnderANewBudget(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator.BatchConfig{})
	one, other := b.ask("Why?"), b.ask("Why not?")
	b.tick(group)
	b.budgeted = true
	if next := b.tick(job); !next.IsZero() {
		t.Errorf("next %v, want the end", next)
	}
	if len(b.router.Batches()) != 0 || b.returned[one] != events.InvalidRequest || b.returned[other] != events.InvalidRequest || b.Refused(model) {
		t.Errorf("%d batches, given back %v", len(b.router.Batches()), b.returned)
	}
}

// A batch whose acceptance was not heard may be listed late: it is looked for twice, a
// while apart, however many ticks there are, before it is submitted again.
func TestManyTicksHastenNoSubmission(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator.BatchConfig{})
	b.loseWhileSent()
	for range 5 {
		if next := b.tick(job); !next.After(time.Now()) || len(b.router.Batches()) != 0 {
			t.Fatalf("next %v, %d batches, want none before a while has passed", next, len(b.router.Batches()))
		}
	}
}
