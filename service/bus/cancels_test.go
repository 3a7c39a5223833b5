package bus

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/tenant"
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
	c := newCancels(b, tenant.NewRegistry())
	stop, err := c.follow(t.Context(), func(_, id string) { live <- id })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	cancel(after)
	if id := <-live; id != after {
		t.Errorf("heard %s, want %s", id, after)
	}
	for id, want := range map[string]bool{before: true, after: true, "00000000-0000-4000-8000-000000000003": false} {
		if got, err := c.has(t.Context(), cancellation{id: id}); got != want || err != nil {
			t.Errorf("has %s: got %v, %v, want %v", id, got, err, want)
		}
	}
}

// A full record refuses what comes, and whoever sends it knows; it forgets nothing.
// Who is cancelled again is not too much.
func TestFullRecordOfCancellations(t *testing.T) {
	t.Parallel()
	b, n := testStreams(t)
	js := n.JetStream()
	stream, err := js.Stream(t.Context(), b.names.CancelsStream())
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 10
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	id := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
	for i := range 20 {
		_, err := js.Publish(t.Context(), b.names.Cancel(id(i)), nil)
		if refused := new(jetstream.APIError); errors.As(err, &refused) != (i >= 10) {
			t.Errorf("cancellation %d: %v", i, err)
		}
	}
	if _, err := js.Publish(t.Context(), b.names.Cancel(id(0)), nil); err != nil {
		t.Errorf("again: %v", err)
	}
	c := newCancels(b, tenant.NewRegistry())
	for i := range 20 {
		if got, err := c.has(t.Context(), cancellation{id: id(i)}); got != (i < 10) || err != nil {
			t.Errorf("has %d: %v, %v", i, got, err)
		}
	}
}
