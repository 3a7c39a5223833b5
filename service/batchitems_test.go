package service

import (
	"errors"
	"testing"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/bus"
)

// A request of a batch that makes the service panic fails its batch's tick, not the
// process: requests of a batch are ended in goroutines of their own.
func TestPanicInBatch(t *testing.T) {
	t.Parallel()
	l := newLine(t, &fakeBus{waiting: func(string, string) *bus.Delivery { panic("boom") }}, nil)
	over, err := batchItems{l.handler}.Return(t.Context(), "group", batch.Item{ID: anID}, events.Failure{Code: events.Internal})
	if over || !errors.Is(err, errPanicked) {
		t.Errorf("got %t, %v; want it to be asked again, after errPanicked", over, err)
	}
	if lines := l.logged(t, "a request made the service panic"); len(lines) != 1 {
		t.Errorf("%d lines in the log, want 1", len(lines))
	}
}
