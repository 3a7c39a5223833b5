package upstream

import (
	"testing"
	"time"
)

// A wait that somebody asked for is kept to the full: jitter only adds to it,
// and no more than a tenth.
func TestNoWaitIsShortened(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, 1, 9, 10, time.Second, 20 * time.Second, 24 * time.Hour} {
		for range 1000 {
			if got := WithJitter(wait); got < wait || got > wait+wait/10 {
				t.Fatalf("WithJitter(%v): got %v, want it and up to a tenth more", wait, got)
			}
			if got := backoff(&Error{Wait: wait}, 1); wait > 0 && (got < wait || got > wait+wait/10) {
				t.Fatalf("backoff after a Retry-After of %v: got %v", wait, got)
			}
		}
	}
	for attempt, want := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second} {
		for range 1000 {
			if got := backoff(&Error{}, attempt); got < want/2 || got > want*3/2 {
				t.Fatalf("backoff after attempt %d: got %v, want half to one and a half of %v", attempt, got, want)
			}
		}
	}
	if got := backoff(&Error{key: keyLimited, Wait: time.Minute}, 1); got != 0 {
		t.Errorf("backoff after a fault of the key: got %v, want 0: the pool does the waiting", got)
	}
	if got := backoff(newError(kindFlexFallback, 0), 1); got != 0 {
		t.Errorf("backoff before the default tier is asked: got %v, want 0", got)
	}
}
