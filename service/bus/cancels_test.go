package bus

import (
	"testing"
)

// What was cancelled before the start is known, and is not heard of again.
func TestOnlyLiveCancellationsAreHeard(t *testing.T) {
	t.Parallel()
	b, n := testStreams(t)
	const before, after = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	cancel := func(id string) {
		t.Helper()
		if _, err := n.JetStream().Publish(t.Context(), b.names.Cancel(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	cancel(before)
	live := make(chan string, 10)
	c := &cancels{streams: b}
	stop, err := c.follow(t.Context(), func(id string) { live <- id })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	cancel(after)
	if id := <-live; id != after {
		t.Errorf("heard %s, want %s", id, after)
	}
	for id, want := range map[string]bool{before: true, after: true, "00000000-0000-4000-8000-000000000003": false} {
		if got, err := c.has(t.Context(), id); got != want || err != nil {
			t.Errorf("has %s: got %v, %v, want %v", id, got, err, want)
		}
	}
}
