package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// status is the output of status --json.
func (b *bench) status() (o overview) {
	b.t.Helper()
	out := b.command(0, "status", "--json")
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return o
}

// schedule stores a schedule for a request by hand, to fire in an hour.
func (b *bench) schedule(id string, retry int, header ...string) time.Time {
	b.t.Helper()
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	m := &nats.Msg{Subject: b.Names.Later(b.Names.ResponseQueue, id), Header: nats.Header{events.HeaderRetryCount: {fmt.Sprint(retry)}}, Data: servicetest.Body(id, secret, nil)}
	if len(header) > 0 {
		m.Header.Set(header[0], header[1])
	}
	if _, err := b.JS.PublishMsg(b.Context(), m, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(b.Names.Retries())); err != nil {
		b.t.Fatal(err)
	}
	return at
}

// hold makes OpenRouter hang until release is called, with a request in flight.
func (b *bench) hold() (id string, release func()) {
	b.t.Helper()
	release = b.openrouter.Hold()
	started := b.openrouter.Count()
	id = b.Ask(secret, nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started > started }); err != nil {
		b.t.Fatal(err)
	}
	return id, release
}

func TestStatusWithoutWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.expect([]string{"status"}, "0 waiting, 0 in flight", "none answered", "intake       open", "dead letters 0")
	for range 3 {
		b.Ask(secret, nil)
	}
	oldest := b.message(b.Names.RequestsStream(), b.Names.RequestQueue).Time
	at := b.schedule(servicetest.NewID(), 1)
	b.put(b.Names.Retries(), nil, servicetest.Body(servicetest.NewID(), secret, nil))
	for _, code := range []events.Code{events.Internal, events.Internal, events.RateLimited} {
		b.put(b.Names.Deadletter(code, servicetest.NewID()), nil, nil)
	}
	o := b.status()
	if o.Requests.Waiting != 3 || o.Requests.InFlight != 0 || o.Requests.OldestAt == nil || o.Requests.OldestAt.After(oldest) || o.Requests.Bytes == 0 || o.Requests.PausedUntil != nil {
		t.Errorf("requests: %+v", o.Requests)
	}
	if o.Retries.Waiting != 1 || o.Scheduled.Waiting != 1 || o.Scheduled.NextAt == nil || !o.Scheduled.NextAt.Equal(at) {
		t.Errorf("retries: %+v, scheduled: %+v", o.Retries, o.Scheduled)
	}
	if o.DeadLetters.Total != 3 || o.DeadLetters.ByCode["internal"] != 2 || o.DeadLetters.ByCode["rate_limited"] != 1 || len(o.Workers) != 0 || len(o.Unseen) != 0 {
		t.Errorf("dead letters: %+v, workers %v, unseen %v", o.DeadLetters, o.Workers, o.Unseen)
	}
	b.expect([]string{"status"}, "3 waiting (the oldest since", "scheduled    1, the next at "+clock(at), "3: internal 2, rate_limited 1")
}

func TestStatusOfWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	b.work()
	id, release := b.hold()
	defer release()
	b.Until("both workers report", func() (string, bool) {
		n := len(b.status().Workers)
		return fmt.Sprint(n), n == 2
	})
	o := b.status()
	if len(o.Workers) != 2 || o.Workers[0].InFlight+o.Workers[1].InFlight != 1 || o.Workers[0].Version != version() || o.Requests.InFlight != 1 || o.Requests.Waiting != 0 {
		t.Errorf("requests: %+v, workers: %+v", o.Requests, o.Workers)
	}
	out := b.expect([]string{"status"}, "workers      2", "1 of 100 slots in use", "breaker closed", "keys: 1 usable", "1 in flight", "    key …cdef  usable\n")
	if strings.Contains(out, "bcdef") || strings.Contains(out, "mango") {
		t.Errorf("a key or a prompt shows:\n%s", out)
	}
	out = b.expect([]string{"status", id}, "in flight   by instance", "message GEMINI_REQUESTS/1, start 1", "delivered")
	if strings.Contains(out, "did not answer") {
		t.Errorf("the worker's host is not known:\n%s", out)
	}
}

// A model that will not be offered for ever has a line, however many workers know it.
func TestStatusOfExpiringModels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openrouter.SetExpiration("google/gemini-2.5-flash", "2999-12-31")
	b.work()
	b.work()
	b.Until("both workers know it", func() (string, bool) {
		known := 0
		for _, w := range b.status().Workers {
			known += len(w.Expiring)
		}
		return fmt.Sprint(known), known == 2
	})
	out := b.expect([]string{"status"}, "model        google/gemini-2.5-flash expires on 2999-12-31, in ")
	if strings.Count(out, "expires on") != 1 {
		t.Errorf("it is said more than once:\n%s", out)
	}
}

// The oldest waiting request is not the one in flight.
func TestStatusOfTheOldest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set("WORKER_CONCURRENCY", 1)
	b.work()
	_, release := b.hold()
	defer release()
	b.Ask(secret, nil)
	waiting := b.message(b.Names.RequestsStream(), b.Names.RequestQueue).Time
	if o := b.status(); o.Requests.Waiting != 1 || o.Requests.InFlight != 1 || o.Requests.OldestAt == nil || !o.Requests.OldestAt.Equal(waiting) {
		t.Errorf("requests: %+v, want the oldest at %s", o.Requests, waiting)
	}
}

func TestStatusWatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, args := range [][]string{{"status", "--watch", "--interval", "10ms"}, {"status", "--watch", "--interval", "10ms", "--json"}, {"status", servicetest.NewID(), "--watch", "--interval", "10ms"}} {
		out, stop := b.start(args...)
		b.Until("it is shown again", func() (string, bool) {
			s := out.String()
			return s, strings.Count(s, "\n") > 10 || strings.Count(s, "requests\":") > 1
		})
		if code := stop(); code != 0 || strings.ContainsRune(out.String(), '\x1b') {
			t.Errorf("%v: exit code %d: %q", args, code, out)
		}
	}
	client := &adminClient{out: &output{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown := 0
	err := client.watch(ctx, time.Millisecond, true, func(context.Context) ([]byte, error) {
		if shown++; shown == 3 {
			cancel()
		}
		return []byte("state\n"), nil
	})
	if out := fmt.Sprint(client.out); err != nil || out != clearScreen+"state\n"+clearScreen+"state\n" {
		t.Errorf("on a terminal: %v, %q", err, out)
	}
}

// What this NATS user may not see is named, at once; the rest is shown.
func TestStatusOfALimitedUser(t *testing.T) {
	t.Parallel()
	limited := &server.User{Username: "limited", Password: "secret", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.INFO.GEMINI_DEADLETTERS", "$JS.API.CONSUMER.INFO.GEMINI_RETRIES.>", "gemini.status", "gemini.cancels.>", "$JS.API.CONSUMER.PAUSE.>"}},
	}}
	b := setup(t, func(o *server.Options) { o.Users = []*server.User{{Username: "admin", Password: "secret"}, limited} })
	b.as("admin")
	b.command(0, "provision")
	id := b.Ask(secret, nil)
	b.as("limited")
	began := time.Now()
	out := b.expect([]string{"status"}, "1 waiting", "not seen     stream GEMINI_DEADLETTERS: this NATS user may not do that", "consumer gemini-client of GEMINI_RETRIES", "workers: this NATS user may not", "retries not seen")
	if strings.Contains(out, "GEMINI_REQUESTS:") || time.Since(began) >= 5*time.Second {
		t.Errorf("after %s:\n%s", time.Since(began), out)
	}
	b.expect([]string{"status", id}, "queued", "not seen", "GEMINI_DEADLETTERS")
	contains(t, b.command(2, "cancel", id), "this NATS user may not do that")
	contains(t, b.command(2, "pause"), "consumer gemini-client of GEMINI_REQUESTS", "GEMINI_RETRIES", "this NATS user may not do that")
	contains(t, b.command(2, "deadletters", "list"), "this NATS user may not do that")
}

func TestStatusOfARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contains(t, b.command(1, "status", servicetest.NewID()), "unknown")

	first, queued, waiting, cancelled, orphan := b.Ask(secret, nil), servicetest.NewID(), servicetest.NewID(), servicetest.NewID(), servicetest.NewID()
	b.Publish(servicetest.Body(strings.ToUpper(queued), "it names "+first, nil), nil)
	b.expect([]string{"status", strings.ToUpper(queued)}, "queued      GEMINI_REQUESTS/2", "1 waiting before it")
	out := b.expect([]string{"status", first}, "GEMINI_REQUESTS/1")
	if strings.Contains(out, "GEMINI_REQUESTS/2") || strings.Contains(out, "mango") {
		t.Errorf("another request that only names the id, or a prompt:\n%s", out)
	}
	contains(t, b.command(1, "status", queued, "--scan", "1"), "only the first 1 messages of GEMINI_REQUESTS")

	at := b.schedule(waiting, 2)
	b.expect([]string{"status", waiting}, "scheduled   for "+clock(at), "(retry 2)")
	batched, begun := servicetest.NewID(), time.Now().Add(-time.Hour).Truncate(time.Second)
	b.schedule(batched, 0, events.HeaderBatch, events.BatchState{Group: "g1", Since: begun}.String())
	b.expect([]string{"status", batched}, "batched     waits for a batch, or for its answer, since "+clock(begun.UTC()))
	b.command(0, "cancel", cancelled)
	b.expect([]string{"status", cancelled}, "cancelled   20")
	b.put(b.Names.Claim(b.Names.ResponseQueue, orphan), nil, []byte("GEMINI_REQUESTS 9 gone 2"))
	b.expect([]string{"status", orphan}, "by instance gone, which is gone", "GEMINI_REQUESTS/9, start 2")

	b.work()
	b.Result(first)
	failed := b.Ask(dies, nil)
	b.Result(failed)
	if out := b.expect([]string{"status", first}, "answered    gemini.responses.completed."+first); strings.Contains(out, "in flight") {
		t.Errorf("it is in flight, by a claim that has not ended yet:\n%s", out)
	}
	b.expect([]string{"status", failed}, "answered    gemini.responses.failed."+failed+" (model_unavailable)", "dead letter 1 (model_unavailable)")
	var w requestState
	if out := b.command(0, "status", failed, "--json"); json.Unmarshal([]byte(out), &w) != nil || w.Answers[0].Code != events.ModelUnavailable || w.DeadLetter.Sequence != 1 || w.CancelledAt != nil || len(w.Queued) != 0 {
		t.Errorf("--json: %s", out)
	}
}
