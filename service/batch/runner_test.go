package batch

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/bus"
)

// taking is a store that takes every record.
type taking struct{ Store }

func (taking) PutBatchRecord(context.Context, string, bus.Record, time.Duration) (uint64, error) {
	return 1, nil
}

// Requesters name groups, so a process remembers some of them.
func TestGroupsAreForgotten(t *testing.T) {
	t.Parallel()
	r := New(taking{}, nil, nil, time.Hour, nil)
	for i := range 3 * knownMost {
		r.Enrolled(t.Context(), fmt.Sprint(i), 1)
	}
	if n := len(r.waiting); n > knownMost {
		t.Errorf("remembers %d groups, want %d at most", n, knownMost)
	}
}

// Lost ticks are made up for once an hour, by one tick at a time, and not right after the
// start, which does it itself.
func TestRevivesOnceAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := New(taking{}, nil, nil, time.Hour, nil)
		for _, want := range []bool{false, true, true} {
			if got, again := r.reviving(), r.reviving(); got != want || again {
				t.Errorf("got %v, then %v, want %v, then false", got, again, want)
			}
			<-time.After(reviveAgain)
		}
	})
}
