package batch_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/openrouter/simulator"
)

// Only what has something left to do gets a tick, and what has one keeps it.
func TestRevive(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator.BatchConfig{Step: simulator.BatchManual})
	retries, err := b.nats.JetStream().Stream(t.Context(), "GEMINI_RETRIES")
	if err != nil {
		t.Fatal(err)
	}
	ticks := func() (subjects []string) {
		info, err := retries.Info(t.Context(), jetstream.WithSubjectFilter("gemini.later.>"))
		if err != nil {
			t.Fatal(err)
		}
		for subject := range info.State.Subjects {
			subjects = append(subjects, subject)
		}
		return subjects
	}
	lose := func() {
		if err := retries.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	revived := func(want string) {
		t.Helper()
		lose()
		for range 2 {
			if err := b.Revive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprint(ticks()); got != want {
			t.Errorf("ticks: got %s, want %s", got, want)
		}
	}
	id := b.ask("one")
	b.Enrolled(t.Context(), group, 1)
	revived("[gemini.later.batch." + group + "]")
	b.tick(group) // makes the job
	revived("[gemini.later.batch." + job + "]")
	b.tick(job) // submits it
	revived("[gemini.later.batch." + job + "]")
	for range 3 {
		b.router.AdvanceBatches()
	}
	b.finish(job)
	revived("[]")
	if !b.answered[id] {
		t.Error("the request is not answered")
	}
}
