package inprocess_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

func TestDeltas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := servicetest.NewID()
	messages := make(chan *nats.Msg, 1000)
	sub, err := b.NC.ChanSubscribe(b.Names.Deltas(id), messages)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	b.Publish(servicetest.Body(strings.ToUpper(id), "tell me", map[string]any{"stream": true}), nil)
	var text strings.Builder
	run := ""
	for i := 0; ; i++ {
		d := nextDelta(t, b, messages)
		if i == 0 {
			run = d.Run
		}
		if d.RequestID != strings.ToUpper(id) || d.Run != run || run == "" || d.Attempt != 1 || d.Index != i {
			t.Fatalf("delta %d: %+v", i, d)
		}
		text.WriteString(d.Content)
		if d.Done {
			break
		}
	}
	if got := b.Result(id); *got.Result.Content != text.String() {
		t.Errorf("deltas: %q\nresult: %q", text.String(), *got.Result.Content)
	}
}

func nextDelta(t *testing.T, b *bench, messages <-chan *nats.Msg) events.Delta {
	t.Helper()
	select {
	case m := <-messages:
		d, err := events.DecodeDelta(m.Data)
		if err != nil {
			t.Fatalf("delta %s: %v", m.Data, err)
		}
		return d
	case <-b.Context().Done():
		t.Fatal("no delta came")
	}
	return events.Delta{}
}

// A repeated call begins its deltas again under the next attempt.
func TestDeltasOfTheSecondAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := servicetest.NewID()
	messages := make(chan *nats.Msg, 1000)
	sub, err := b.NC.ChanSubscribe(b.Names.Deltas(id), messages)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	b.Publish(servicetest.Body(id, "again [sim:truncate after=2 times=1]", map[string]any{"stream": true}), nil)
	pieces := map[int]string{}
	for {
		d := nextDelta(t, b, messages)
		pieces[d.Attempt] += d.Content
		if d.Done {
			break
		}
	}
	got := b.Result(id)
	if pieces[1] == "" || pieces[2] != *got.Result.Content {
		t.Errorf("pieces by attempt: %v; result: %s", pieces, got.Body)
	}
	if got.Result.Attempts != 2 {
		t.Errorf("attempts: got %d, want 2", got.Result.Attempts)
	}
}

// Without stream nothing is published.
func TestNoDeltasUnlessAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := servicetest.NewID()
	sub, err := b.NC.SubscribeSync(b.Names.Deltas(id))
	if err != nil {
		t.Fatal(err)
	}
	b.Publish(servicetest.Body(id, "quietly", nil), nil)
	b.Result(id)
	b.Idle()
	if n, _, err := sub.Pending(); n != 0 || err != nil {
		t.Errorf("deltas: %d, %v", n, err)
	}
}
