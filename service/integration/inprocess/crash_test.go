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
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// deadClaim stores the claim that a killed worker leaves on the first message of
// the request queue: its process has no heartbeat.
func (b *bench) deadClaim(id string, starts int) {
	b.t.Helper()
	body := fmt.Sprintf("%s 1 killed %d", b.Names.RequestsStream(), starts)
	if _, err := b.JS.Publish(b.Context(), b.Names.Claim(b.Names.ResponseQueue, id), []byte(body)); err != nil {
		b.t.Fatal(err)
	}
}

// After one kill of its worker a request is called for without further delay.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	id := b.Ask("again", nil)
	b.deadClaim(id, 1)
	b.start()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess || got.Result.RetryCount != 0 {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if log := b.log.String(); strings.Contains(log, "request rescheduled") {
		t.Errorf("it was rescheduled:\n%s", log)
	}
}

// From the third start on a request is rescheduled apart from others, with a
// count of its own, and its retries are not counted.
func TestThirdStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	id := b.Ask("again and again", nil)
	b.deadClaim(id, 2)
	b.start()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess || got.Result.RetryCount != 0 {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if log := b.log.String(); !strings.Contains(log, "crash loop 1") {
		t.Errorf("it was not taken for a crash loop:\n%s", log)
	}
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}

// Past MAX_STRIKES it has failed, without another call.
func TestTooManyCrashLoops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "killer", nil), nats.Header{events.HeaderStrikes: {"3"}})
	b.deadClaim(id, 1)
	b.start()
	got := b.Result(id)
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.RedeliveryExhausted {
		t.Errorf("result: %s", got.Body)
	}
	b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.RedeliveryExhausted, id), 1)
	b.Idle()
	if n := b.openrouter.Count(); n != 0 {
		t.Errorf("calls: got %d, want 0", n)
	}
}

// The worker was killed between storing a schedule and acknowledging the
// request: only one of the two goes on, and nothing is called before its time.
func TestKilledBetweenScheduleAndAck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	body := servicetest.Body(servicetest.NewID(), "later", nil)
	id := requestID(t, body)
	b.Publish(body, nil)
	at := time.Now().Add(8 * time.Second).Truncate(time.Second) // the service starts before
	schedule := &nats.Msg{Subject: b.Names.Later(b.Names.ResponseQueue, id), Header: nats.Header{events.HeaderRetryCount: {"1"}}, Data: body}
	if _, err := b.JS.PublishMsg(b.Context(), schedule, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(b.Names.Retries())); err != nil {
		t.Fatal(err)
	}
	b.deadClaim(id, 1)
	b.start()
	b.Until("the redelivered original is settled", func() (string, bool) { return "", b.stream(b.Names.RequestsStream()).Msgs == 0 })
	if got := b.Result(id); got.Result.Status != events.StatusSuccess || got.Result.RetryCount != 1 {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if calls := b.openrouter.Calls(); len(calls) != 1 || calls[0].At.Before(at.Add(-time.Second)) {
		t.Errorf("calls: %d, want one at %s", len(calls), at)
	}
}

// A fired schedule may be all that is left of the request, so a claim that another
// process left, dead or live, does not make it be acknowledged.
func TestFiredScheduleAndALeftClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	id := servicetest.NewID()
	if _, err := b.JS.Publish(b.Context(), b.Names.Retries(), servicetest.Body(id, "fired", nil)); err != nil {
		t.Fatal(err)
	}
	b.lastHeartbeat("other")
	b.leftClaim(id, 7, "other")
	b.start()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
}

// lastHeartbeat is that of a process that has just been killed: it lives for as long
// as this lasts.
func (b *bench) lastHeartbeat(instance string) {
	b.t.Helper()
	m := &nats.Msg{Subject: b.Names.Instance(instance), Data: []byte(instance)}
	if _, err := b.JS.PublishMsg(b.Context(), m, jetstream.WithMsgTTL(3*time.Second)); err != nil {
		b.t.Fatal(err)
	}
}

// leftClaim stores a process's claim on a message of the request queue.
func (b *bench) leftClaim(id string, sequence int, instance string) {
	b.t.Helper()
	body := fmt.Sprintf("%s %d %s 1", b.Names.RequestsStream(), sequence, instance)
	if _, err := b.JS.Publish(b.Context(), b.Names.Claim(b.Names.ResponseQueue, id), []byte(body)); err != nil {
		b.t.Fatal(err)
	}
}

// A worker was killed whose requests were published twice. While its heartbeat lasts
// another one takes both messages of each at the same time: one may go for the other,
// and not each of them for the other.
func TestBothMessagesOfTheKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	const requests = 40
	for i := range requests {
		body := servicetest.Body(servicetest.NewID(), fmt.Sprintf("question %d", i), nil)
		b.Publish(body, nil)
		b.Publish(body, nil)
		b.leftClaim(requestID(t, body), 2*i+1, "killed")
	}
	b.lastHeartbeat("killed")
	b.start()
	b.Idle()
	if n := len(b.Results()); n != requests {
		t.Errorf("results: got %d, want %d", n, requests)
	}
	if n := b.openrouter.Count(); n != requests {
		t.Errorf("calls: got %d, want %d", n, requests)
	}
}

// A fired schedule whose request is in flight in the same process is not
// acknowledged for that: the other message may be about to be acknowledged because
// of the schedule that has just fired.
func TestFiredScheduleAndAMessageInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	release := b.openrouter.Hold()
	defer release()
	body := servicetest.Body(servicetest.NewID(), "in flight", nil)
	b.Publish(body, nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 1 }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Publish(b.Context(), b.Names.Retries(), body); err != nil {
		t.Fatal(err)
	}
	b.Until("the fired one was delivered twice, or is gone", func() (string, bool) {
		c, err := b.JS.Consumer(b.Context(), b.Names.RetriesStream(), bus.Durable)
		if err != nil {
			return err.Error(), false
		}
		info := c.CachedInfo()
		return fmt.Sprint(info.Delivered.Consumer), info.Delivered.Consumer >= 2 || b.stream(b.Names.RetriesStream()).Msgs == 0
	})
	if n := b.stream(b.Names.RetriesStream()).Msgs; n != 1 {
		t.Errorf("fired messages left: %d, want 1 until there is a result", n)
	}
	release()
	b.Result(requestID(t, body))
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}
