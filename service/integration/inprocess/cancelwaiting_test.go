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
	"gemini-client/service/servicetest"
)

// schedule stores a schedule for a request, and a claim that says so, as the service
// would.
func (b *bench) schedule(body []byte, header nats.Header, at time.Time) {
	b.t.Helper()
	m := &nats.Msg{Subject: b.Names.Later(b.Names.ResponseQueue, requestID(b.t, body)), Header: header, Data: body}
	if _, err := b.JS.PublishMsg(b.Context(), m, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(b.Names.Retries())); err != nil {
		b.t.Fatal(err)
	}
	claim := bus.Holder{Stream: b.Names.RequestsStream(), Sequence: 1, Instance: "later:killed"}
	if _, err := b.JS.Publish(b.Context(), b.Names.Claim(b.Names.ResponseQueue, requestID(b.t, body)), []byte(claim.String())); err != nil {
		b.t.Fatal(err)
	}
}

func isCancelled(r events.Result) bool {
	return r.ErrorCode != nil && *r.ErrorCode == events.Cancelled
}

// A request that is cancelled while it waits is answered at once, by one of
// three processes, and its schedule is removed.
func TestCancelledWhileItWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.RetryDelays = []int{3600} })
	for range 3 {
		b.start()
	}
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "wait [sim:503 times=3]", map[string]any{"metadata": map[string]any{"a": 1}}), nil)
	b.Until("it waits", func() (string, bool) {
		return "", b.stream(b.Names.RetriesStream()).Msgs == 1 && b.stream(b.Names.RequestsStream()).Msgs == 0
	})
	b.Until("its claim says that it waits", func() (string, bool) {
		m, err := b.JS.Stream(b.Context(), b.Names.ClaimsStream())
		if err != nil {
			return err.Error(), false
		}
		claim, err := m.GetLastMsgForSubject(b.Context(), b.Names.Claim(b.Names.ResponseQueue, id))
		if err != nil {
			return err.Error(), false
		}
		holder, _ := bus.ParseHolder(claim.Data)
		return holder.Instance, holder.Ended()
	})
	b.cancel(id)
	got := b.Result(id)
	if !isCancelled(got.Result) || got.Result.RetryCount != 1 || string(got.Result.Metadata) != `{"a":1}` {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if results := b.Results(); len(results) != 1 {
		t.Errorf("results: got %d, want 1", len(results))
	}
	if n := b.openrouter.Count(); n != 3 {
		t.Errorf("calls: got %d, want the 3 from before the wait", n)
	}
	if n := b.stream(b.Names.DeadlettersStream()).Msgs; n != 0 {
		t.Errorf("dead letters: %d", n)
	}
}

// A request that waits longer than results and cancellations are kept would be
// called for after it was answered or cancelled. A Retry-After of weeks is cut to
// half of that age; a cancellation ends the wait.
func TestNoWaitOutlivesTheRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.ResultsMaxAge = 20 * time.Second })
	b.start()
	answered := b.Ask("wait [sim:503 times=1 retry_after=2419200]", nil)
	cancelled := b.Ask("wait [sim:503 retry_after=2419200]", nil)
	b.Until("both wait", func() (string, bool) {
		return "", b.stream(b.Names.RetriesStream()).Msgs == 2 && b.stream(b.Names.RequestsStream()).Msgs == 0
	})
	for _, id := range []string{answered, cancelled} {
		m, err := b.mustStream(b.Names.RetriesStream()).GetLastMsgForSubject(b.Context(), b.Names.Later(b.Names.ResponseQueue, id))
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, strings.TrimPrefix(m.Header.Get("Nats-Schedule"), "@at "))
		if wait := at.Sub(m.Time); err != nil || wait > 12*time.Second {
			t.Errorf("a request waits %s (%v), want half of the records' 20 s at most", wait, err)
		}
	}
	b.cancel(cancelled)
	if got := b.Result(cancelled); !isCancelled(got.Result) {
		t.Errorf("result: %s", got.Body)
	}
	if got := b.Result(answered); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	b.Until("the records have aged out", func() (string, bool) {
		return "", b.stream(b.Names.ResponsesStream()).Msgs == 0 && b.stream(b.Names.CancelsStream()).Msgs == 0
	})
	if n, waiting := b.openrouter.Count(), b.stream(b.Names.RetriesStream()).Msgs; n != 3 || waiting != 0 {
		t.Errorf("%d calls and %d that wait, want 3 and none", n, waiting)
	}
}

// A cancellation changes nothing about a request that has its result. That of a
// scheduled replay follows the failed result that the replay would have followed.
func TestCancelledAfterAResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	answered, replayed := servicetest.NewID(), servicetest.NewID()
	completed := b.Result(b.askAs(answered, "answered"))
	b.askAs(replayed, "[sim:model_deprecated]")
	failure := b.Result(replayed)
	b.Idle() // their claims are settled: a schedule under a claim is left to its time
	at := time.Now().Add(time.Hour)
	b.schedule(servicetest.Body(answered, "answered", nil), nil, at)
	b.schedule(servicetest.Body(replayed, "again", nil), nats.Header{events.HeaderReplay: {b.lastSequence(replayed)}}, at)
	calls := b.openrouter.Count()
	b.cancel(answered)
	b.cancel(replayed)
	results := b.Collect(b.Names.ResponsesStream(), events.AnyResult(b.Names.ResponseQueue, replayed), 2)
	if string(results[0].Body) != string(failure.Body) || !isCancelled(results[1].Result) {
		t.Errorf("results of the replay: %s, %s", results[0].Body, results[1].Body)
	}
	if all := b.Collect(b.Names.ResponsesStream(), "", 3); string(all[0].Body) != string(completed.Body) || b.stream(b.Names.ResponsesStream()).Msgs != 3 {
		t.Errorf("results: %v", all)
	}
	if n := b.openrouter.Count(); n != calls {
		t.Errorf("calls after the cancellations: %d", n-calls)
	}
}

// askAs publishes a request with an id and returns the id.
func (b *bench) askAs(id, prompt string) string {
	b.t.Helper()
	b.Publish(servicetest.Body(id, prompt, nil), nil)
	return id
}

func (b *bench) lastSequence(id string) string {
	b.t.Helper()
	stream, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(b.Context(), events.AnyResult(b.Names.ResponseQueue, id))
	if err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprint(m.Sequence)
}

// A requester's replay header is not taken for an operator's when its schedule
// fires.
func TestForgedReplayThatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.RetryDelays = []int{2} })
	b.start()
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "wait [sim:503 times=3]", nil), nats.Header{"gemini-replay": {"1"}}) // the first result will be the first in its stream
	b.Until("it waits", func() (string, bool) {
		return "", b.stream(b.Names.RetriesStream()).Msgs == 1 && b.stream(b.Names.RequestsStream()).Msgs == 0
	})
	b.cancel(id)
	if got := b.Result(id); !isCancelled(got.Result) {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if results := b.Results(); len(results) != 1 {
		t.Errorf("results: got %d, want 1", len(results))
	}
}
