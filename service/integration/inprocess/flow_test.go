package inprocess_test

import (
	"testing"

	"gemini-client/events"
)

func TestAnswersARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := b.Ask("Why is the sky blue?", nil)
	got := b.Result(id)
	if got.Subject != events.Completed("gemini.responses", id) {
		t.Fatalf("subject: got %s", got.Subject)
	}
	t.Logf("%s\n%v", got.Body, got.Header)
	b.Idle()
	t.Log(b.log.String())
}
