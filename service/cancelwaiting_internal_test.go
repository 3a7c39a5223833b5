package service

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// Whoever reads the cancellations is never held up by those who answer them.
func TestTooManyCancellations(t *testing.T) {
	t.Parallel()
	w := newWaitingCancels(&handler{tel: telemetry.Nop()})
	for range cancelBacklog + 10 {
		w.heard(claimID)
	}
	if len(w.ids) != cancelBacklog {
		t.Errorf("cancellations kept: %d, want %d", len(w.ids), cancelBacklog)
	}
}

// What was cancelled before the start is known, and asks for no search.
func TestOnlyLiveCancellationsAreSearchedFor(t *testing.T) {
	t.Parallel()
	b, n := testBroker(t)
	const before, after = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	cancel := func(id string) {
		t.Helper()
		if _, err := n.JetStream().Publish(t.Context(), b.names.Cancel(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	cancel(before)
	live := make(chan string, 10)
	c := &cancels{broker: b, notify: func(string) {}, live: func(id string) { live <- id }}
	stop, err := c.follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	cancel(after)
	if id := <-live; id != after {
		t.Errorf("searched for %s, want %s", id, after)
	}
	for id, want := range map[string]bool{before: true, after: true, "00000000-0000-4000-8000-000000000003": false} {
		if got := c.has(t.Context(), id); got != want {
			t.Errorf("has %s: got %v, want %v", id, got, want)
		}
	}
}

// A waiting request is answered as cancelled, unless somebody works on it.
func TestCancelWaiting(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	here, _ := process(t, b, "here")
	there, _ := process(t, b, "there")
	c, _, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	tel := telemetry.Nop()
	tel.Logger = slog.New(slog.DiscardHandler)
	h := &handler{config: &c, rules: c.Rules(0), atWork: newAtWork(), claims: here, results: &publisher{b}, schedules: &schedules{b}, letters: &deadletters{b}, tel: tel}
	d := delivery{Body: fmt.Appendf(nil, `{"request_id":%q,"prompt":"x"}`, claimID), Stream: b.names.RequestsStream(), Sequence: 1}
	stored := func() record {
		t.Helper()
		r, err := h.results.lookup(t.Context(), claimCallback, claimID)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	silent := func(why string) {
		t.Helper()
		h.cancelWaiting(t.Context(), claimCallback, claimID)
		if r := stored(); r.sequence != 0 {
			t.Fatalf("%s: a result was stored", why)
		}
	}
	silent("nothing waits")
	if err := h.schedules.put(t.Context(), claimCallback, claimID, d, time.Now().Add(time.Hour), map[string]string{events.HeaderRetryCount: "1"}); err != nil {
		t.Fatal(err)
	}
	held := mustTake(t, there, fired(7), claimTaken)
	silent("another process works on it")
	held.release(t.Context())
	leave, _ := h.atWork.enter(claimCallback, claimID, fired(8), nil)
	silent("this process works on it")
	leave()
	h.cancelWaiting(t.Context(), claimCallback, claimID)
	first := stored()
	if first.sequence == 0 || first.completed {
		t.Fatalf("stored: %+v", first)
	}
	mustTake(t, there, fired(9), claimTaken).release(t.Context()) // the claim was released
	h.cancelWaiting(t.Context(), claimCallback, claimID)
	if again := stored(); again.sequence != first.sequence {
		t.Errorf("cancelled twice: %+v, %+v", first, again)
	}
}
