package bus

import (
	"testing"
	"time"
)

// A schedule's time is cut to whole seconds by the client and may fire a tick
// early: what is asked for is never before the time that was meant.
func TestWholeSeconds(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, after := range []time.Duration{0, 1, 100 * time.Millisecond, 750 * time.Millisecond, 751 * time.Millisecond, 999 * time.Millisecond} {
		at := base.Add(after)
		got := wholeSeconds(at)
		if early := at.Sub(got.Add(-250 * time.Millisecond)); early > 0 || got.Nanosecond() != 0 || got.Sub(at) > 2*time.Second {
			t.Errorf("wholeSeconds(%s): got %s", at, got)
		}
	}
}
