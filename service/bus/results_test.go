package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

func aResult(messageID string, completed bool) publication {
	subject := events.Failed(claimCallback, claimID)
	if completed {
		subject = events.Completed(claimCallback, claimID)
	}
	return publication{
		callback: claimCallback, id: claimID, subject: subject, messageID: messageID, body: []byte("{}"),
		header: map[string][]string{"traceparent": {"x"}},
	}
}

func mustStore(t *testing.T, p *results, r publication, want bool) {
	t.Helper()
	stored, err := p.store(t.Context(), r)
	if err != nil || stored != want {
		t.Fatalf("store %s: got %v, %v; want %v", r.messageID, stored, err, want)
	}
}

// The server refuses a second result, whatever the first one was and whoever
// stored it (promise 3).
func TestSecondResultIsRefused(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		for _, second := range []bool{true, false} {
			t.Run(fmt.Sprintf("completed %v then %v", first, second), func(t *testing.T) {
				t.Parallel()
				b, _ := testStreams(t)
				p := &results{streams: b}
				mustStore(t, p, aResult("one", first), true)
				mustStore(t, p, aResult("two", second), false)
				there, err := p.lookup(t.Context(), claimCallback, claimID)
				if err != nil || there.messageID != "one" || there.completed != first || there.sequence != 1 {
					t.Errorf("record: %+v, %v", there, err)
				}
			})
		}
	}
}

// A try whose acknowledgement was lost is found to be ours.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	mustStore(t, p, aResult("ours", true), true)
	mustStore(t, p, aResult("ours", true), true)
	s, err := b.conn.JetStream.Stream(t.Context(), b.names.ResponsesStream())
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("results: %v, %v; want 1", s.CachedInfo().State.Msgs, err)
	}
}

// A replay may follow the failure it names, and nothing else.
func TestResultAfterAFailure(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	mustStore(t, p, aResult("failed", false), true)
	replay := aResult("replay", true)
	replay.expect = 1
	mustStore(t, p, replay, true)
	again := aResult("again", true)
	again.expect = 1
	mustStore(t, p, again, false)
}

// A result that is gone (aged out) does not block the next one.
func TestResultAfterItsRecordIsGone(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	mustStore(t, p, aResult("old", false), true)
	if err := b.responses.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	replay := aResult("replay", true)
	replay.expect = 1
	mustStore(t, p, replay, true)
}

func TestResultTooLarge(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	r := aResult("large", true)
	r.body = []byte(strings.Repeat("x", int(b.conn.MaxPayload())))
	if _, err := p.store(t.Context(), r); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// Competing publishers store one result.
func TestCompetingPublishers(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	var won atomic.Int32
	done := make(chan error, 20)
	for i := range 20 {
		go func() {
			stored, err := p.store(context.WithoutCancel(t.Context()), aResult(fmt.Sprint(i), true))
			if stored {
				won.Add(1)
			}
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := won.Load(); n != 1 {
		t.Errorf("stored: %d, want 1", n)
	}
}

// A look-up with a stored result on another callback, or of another id, misses.
func TestLookupIsExact(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	mustStore(t, p, aResult("one", true), true)
	for _, other := range []struct{ callback, id string }{{claimCallback + ".a", claimID}, {claimCallback, "7a3b1c9e-0000-4000-8000-000000000002"}} {
		if there, err := p.lookup(t.Context(), other.callback, other.id); err != nil || there.sequence != 0 {
			t.Errorf("%v: got %+v, %v; want none", other, there, err)
		}
	}
}

// A stream that is full keeps the result waiting instead of losing it.
func TestResultWaitsForRoom(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	p := &results{streams: b}
	c := b.responses.CachedInfo().Config
	c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew
	if _, err := b.conn.JetStream.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := b.conn.JetStream.Publish(t.Context(), events.Completed(claimCallback, "7a3b1c9e-0000-4000-8000-000000000009"), nil); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	go func() {
		ok, err := p.store(context.WithoutCancel(t.Context()), aResult("waits", true))
		if !ok && err == nil {
			err = errors.New("refused")
		}
		stored <- err
	}()
	c.MaxMsgs = -1
	if _, err := b.conn.JetStream.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := <-stored; err != nil {
		t.Error(err)
	}
}
