package inprocess_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// One request, published 100 times at once, three replicas: one call, one
// result (promises 1, 3, 4).
func TestDuplicatesThroughThreeReplicas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	release := b.openrouter.Hold()
	defer release()
	id := servicetest.NewID()
	for range 100 {
		b.Publish(servicetest.Body(id, "one call", nil), nil)
	}
	for range 3 {
		b.start()
	}
	// The call is held, so the copies have to be dealt with beside it: all that were
	// published later are acknowledged, earlier ones may come again.
	b.Until("the later copies are settled", func() (string, bool) {
		last, called := b.last(b.Names.RequestsStream(), b.Names.RequestQueue), b.claimed(id)
		return fmt.Sprintf("the last that is left is %d, called for is %d", last.Sequence, called), last.Sequence == called
	})
	release()
	b.Result(id)
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
	if n := len(b.Results()); n != 1 {
		t.Errorf("results: got %d, want 1", n)
	}
}

// claimed is the message of the request queue that a request is called for; 0 if it
// is not claimed.
func (b *bench) claimed(id string) uint64 {
	b.t.Helper()
	holder, _ := bus.ParseHolder(b.last(b.Names.ClaimsStream(), b.Names.Claim(b.Names.ResponseQueue, id)).Data)
	return holder.Sequence
}

// last is the last message of a subject; an empty one if there is none.
func (b *bench) last(stream, subject string) *jetstream.RawStreamMsg {
	b.t.Helper()
	s, err := b.JS.Stream(b.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(b.Context(), subject)
	if err != nil {
		return &jetstream.RawStreamMsg{}
	}
	return m
}

// The service is restarted in the middle of 200 requests.
func TestRestartInTheMiddle(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	or := servicetest.RunOpenRouter(t, simulator.Config{Latency: 200 * time.Millisecond})
	b := setupOn(t, n, or, func(c *config.Config) { c.Concurrency = 20 })
	b.provision()
	ids := map[string]bool{}
	for i := range 200 { // all before the first start: a slow publisher would be overtaken
		ids[b.Ask(fmt.Sprintf("question %d", i), nil)] = true
	}
	first := b.start()
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started >= 60 }); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatalf("the first service: %v", err)
	}
	left := b.stream(b.Names.RequestsStream()).Msgs
	if left == 0 || left == 200 {
		t.Fatalf("requests left after the stop: %d; the restart was not in the middle", left)
	}
	b.start()
	results := b.Collect(b.Names.ResponsesStream(), "", 200)
	b.Idle()
	for _, r := range results {
		if !ids[r.Result.RequestID] {
			t.Errorf("a second or foreign result: %s", r.Subject)
		}
		delete(ids, r.Result.RequestID)
	}
	if all := b.Results(); len(all) != 200 {
		t.Errorf("results: got %d, want 200", len(all))
	}
	if calls := b.openrouter.Count(); calls != 200 {
		t.Errorf("calls: got %d, want 200: a graceful stop pays for nothing twice", calls)
	}
}

// NATS restarts while a call is in flight: the call goes on, its result waits
// in memory, and it is paid for once (promise 8).
func TestNATSRestartsDuringACall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	release := b.openrouter.Hold()
	defer release()
	id := b.Ask("patience", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 1 }); err != nil {
		t.Fatal(err)
	}
	b.nats.Stop()
	release()
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.InFlight == 0 }); err != nil {
		t.Fatal(err)
	}
	b.nats.Start()
	b.Until("NATS is connected again", func() (string, bool) { return b.NC.Status().String(), b.NC.IsConnected() })
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}

// A request whose result is stored is acknowledged without a call, by a worker
// that never saw it before.
func TestAnsweredRequestIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := b.Ask("once", nil)
	b.Result(id)
	b.Idle()
	b.Publish(servicetest.Body(strings.ToUpper(id), "once", nil), nats.Header{"Nats-Msg-Id": {"again"}})
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
	if n := len(b.Results()); n != 1 {
		t.Errorf("results: got %d, want 1", n)
	}
}

// The same id on two callbacks is two requests.
func TestSameIDOnTwoCallbacks(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) {
		c.CallbackAllow = []string{"gemini.responses.a", "gemini.responses.b"}
	})
	b.start()
	id := servicetest.NewID()
	for _, callback := range c2() {
		b.Publish(servicetest.Body(id, "two", map[string]any{"callback_queue": callback}), nil)
	}
	for _, callback := range c2() {
		b.Collect(b.Names.ResponsesStream(), events.Completed(callback, id), 1)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 2 {
		t.Errorf("calls: got %d, want 2", n)
	}
}

func c2() []string { return []string{"gemini.responses.a", "gemini.responses.b"} }
