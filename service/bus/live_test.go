package bus

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/servicetest"
)

// Live subscribers hear a result that the stream refuses. JetStream could hide
// it, by a subject of its own for storing and a republish of what was stored; but
// a stream cannot take both that subject and the one that workers of today use,
// so that no version could be replaced while it runs (doc.go). When this fails,
// nats-server has changed its mind.
func TestWhyLiveSubscribersHearRefusedResults(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	nc, js := n.Connect(), n.JetStream()
	live, err := nc.SubscribeSync("gemini.responses.>")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(subject string) bool {
		t.Helper()
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject}, jetstream.WithExpectLastSequenceForSubject(0, "gemini.responses.*.a"))
		if err != nil && !errors.Is(classify(err), errConflict) {
			t.Fatal(err)
		}
		return err != nil
	}
	heard := func() (n int) {
		t.Helper()
		if err := nc.Publish("gemini.responses.end", nil); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := live.NextMsg(servicetest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject == "gemini.responses.end" {
				return n
			}
			n++
		}
	}
	stream := jetstream.StreamConfig{Name: "RESULTS", Subjects: []string{"gemini.responses.*.*"}}
	if _, err := js.CreateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if refused("gemini.responses.completed.a") || !refused("gemini.responses.failed.a") || heard() != 2 {
		t.Error("today: want one stored, one refused, and both heard")
	}
	stream.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "gemini.store.*.*", Destination: "gemini.responses.{{wildcard(1)}}.{{wildcard(2)}}"}
	stream.RePublish = &jetstream.RePublish{Source: "gemini.responses.*.*", Destination: "gemini.responses.{{wildcard(1)}}.{{wildcard(2)}}"}
	stream.Subjects = []string{"gemini.store.*.*", "gemini.responses.*.*"}
	var api *jetstream.APIError
	if _, err := js.UpdateStream(t.Context(), stream); !errors.As(err, &api) || api.ErrorCode != 10052 {
		t.Errorf("both subjects: got %v, want 10052 (a cycle)", err)
	}
	stream.Subjects = stream.Subjects[:1]
	if _, err := js.UpdateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if !refused("gemini.store.failed.a") || heard() != 0 {
		t.Error("the other way: want a second result refused, and not heard")
	}
	if err := errors.Join(live.Unsubscribe(), nc.Flush()); err != nil { // else it is silence that tells
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "gemini.responses.completed.b", nil, jetstream.WithRetryAttempts(0)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("a worker of today, the other way: got %v, want that nobody stores it", err)
	}
}
