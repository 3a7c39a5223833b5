package service

import (
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
)

// TestWithoutMoneyARequestGoesBack to its queue, and uses up no retry; its deadline is
// answered.
func TestWithoutMoneyARequestGoesBack(t *testing.T) {
	t.Parallel()
	e := &upstream.Error{Code: events.BudgetExceeded, Message: "No money.", Heals: upstream.Later, Wait: 20 * time.Second, GoesBack: true}
	now := time.Now()
	for name, tt := range map[string]struct {
		s     situation
		after time.Duration
	}{
		"not called":          {situation{now: now}, 20 * time.Second},
		"no retries left":     {situation{now: now, retryCount: 4, maxRetries: 4}, 20 * time.Second},
		"a deadline before":   {situation{now: now, deadline: now.Add(time.Second)}, time.Second},
		"a deadline passed":   {situation{now: now, deadline: now.Add(-time.Second)}, time.Millisecond},
		"a deadline far away": {situation{now: now, deadline: now.Add(time.Hour)}, 20 * time.Second},
	} {
		if v := judgeError(e, tt.s); v.outcome != Nacked || v.after != tt.after || v.failure.Message != e.Message {
			t.Errorf("%s: %+v, want nacked for %s", name, v, tt.after)
		}
	}
	for retries := range 3 {
		if v := judgeError(e, situation{now: now, called: true, retryCount: retries, maxRetries: 1, delay: time.Minute}); v.outcome != Rescheduled || v.free {
			t.Errorf("after a call and %d retries: %+v; a nack has no room for what it cost", retries, v)
		}
	}
}

// TestIncrementsAreKnownForLongEnough: the ledger repeats them for so long.
func TestIncrementsAreKnownForLongEnough(t *testing.T) {
	t.Parallel()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range bus.NewTopology(c, 1<<20).Shared {
		if s.Name == c.Names().BudgetsStream() && s.Duplicates < budget.IDsKept {
			t.Errorf("the stream remembers ids for %s, want %s", s.Duplicates, budget.IDsKept)
		}
	}
}
