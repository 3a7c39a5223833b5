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

// look is what status --json says.
func (d *duty) look() (o overview) {
	d.t.Helper()
	out := d.command(0, "status", "--json")
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	return o
}

// later puts a request into the retries by hand, to come back in an hour.
func (d *duty) later(id string, retry int) time.Time {
	d.t.Helper()
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	m := &nats.Msg{Subject: d.Names.Later(d.Names.ResponseQueue, id), Header: nats.Header{events.HeaderRetryCount: {fmt.Sprint(retry)}}, Data: servicetest.Body(id, secret, nil)}
	if _, err := d.JS.PublishMsg(d.Context(), m, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(d.Names.Retries())); err != nil {
		d.t.Fatal(err)
	}
	return at
}

// hold makes OpenRouter hang until release is called, with a request at work.
func (d *duty) hold() (id string, release func()) {
	d.t.Helper()
	release = d.openrouter.Hold()
	started := d.openrouter.Count()
	id = d.Ask(secret, nil)
	if err := d.openrouter.Wait(d.Context(), func(s simulator.Stats) bool { return s.Started > started }); err != nil {
		d.t.Fatal(err)
	}
	return id, release
}

func TestStatusWithoutWorkers(t *testing.T) {
	d := onDuty(t)
	d.expect([]string{"status"}, "0 waiting, 0 in flight", "none answered", "intake       open", "dead letters 0")
	for range 3 {
		d.Ask(secret, nil)
	}
	oldest := d.message(d.Names.RequestsStream(), d.Names.RequestQueue).Time
	at := d.later(servicetest.NewID(), 1)
	d.put(d.Names.Retries(), nil, servicetest.Body(servicetest.NewID(), secret, nil))
	for _, code := range []events.Code{events.Internal, events.Internal, events.RateLimited} {
		d.put(d.Names.Deadletter(code, servicetest.NewID()), nil, nil)
	}
	o := d.look()
	if o.Requests.Waiting != 3 || o.Requests.InFlight != 0 || o.Requests.OldestAt == nil || o.Requests.OldestAt.After(oldest) || o.Requests.Bytes == 0 || o.Requests.PausedUntil != nil {
		t.Errorf("requests: %+v", o.Requests)
	}
	if o.Retries.Waiting != 1 || o.Later.Waiting != 1 || o.Later.NextAt == nil || !o.Later.NextAt.Equal(at) {
		t.Errorf("retries: %+v, later: %+v", o.Retries, o.Later)
	}
	if o.DeadLetters.Total != 3 || o.DeadLetters.ByCode["internal"] != 2 || o.DeadLetters.ByCode["rate_limited"] != 1 || len(o.Workers) != 0 || len(o.Unseen) != 0 {
		t.Errorf("dead letters: %+v, workers %v, unseen %v", o.DeadLetters, o.Workers, o.Unseen)
	}
	d.expect([]string{"status"}, "3 waiting (the oldest since", "1 waiting to be tried again, the next at "+clock(at), "3: internal 2, rate_limited 1")
}

func TestStatusOfWorkers(t *testing.T) {
	d := onDuty(t)
	d.work()
	d.work()
	id, release := d.hold()
	defer release()
	o := d.look()
	if len(o.Workers) != 2 || o.Workers[0].InFlight+o.Workers[1].InFlight != 1 || o.Workers[0].Version != version() || o.Requests.InFlight != 1 || o.Requests.Waiting != 0 {
		t.Errorf("requests: %+v, workers: %+v", o.Requests, o.Workers)
	}
	out := d.expect([]string{"status"}, "workers      2", "1 of 100 slots in use", "breaker closed", "keys: 1 usable", "1 in flight")
	if strings.Contains(out, "cdef") || strings.Contains(out, "mango") {
		t.Errorf("a key or a prompt shows:\n%s", out)
	}
	out = d.expect([]string{"status", id}, "at work", "message GEMINI_REQUESTS/1, start 1", "delivered")
	if strings.Contains(out, "did not answer") {
		t.Errorf("the worker's host is not known:\n%s", out)
	}
}

// The oldest waiting request is not the one at work.
func TestStatusOfTheOldest(t *testing.T) {
	d := onDuty(t)
	t.Setenv("WORKER_CONCURRENCY", "1")
	d.work()
	_, release := d.hold()
	defer release()
	d.Ask(secret, nil)
	waiting := d.message(d.Names.RequestsStream(), d.Names.RequestQueue).Time
	if o := d.look(); o.Requests.Waiting != 1 || o.Requests.InFlight != 1 || o.Requests.OldestAt == nil || !o.Requests.OldestAt.Equal(waiting) {
		t.Errorf("requests: %+v, want the oldest at %s", o.Requests, waiting)
	}
}

func TestStatusWatch(t *testing.T) {
	d := onDuty(t)
	for _, args := range [][]string{{"status", "--watch", "--interval", "10ms"}, {"status", "--watch", "--interval", "10ms", "--json"}, {"status", servicetest.NewID(), "--watch", "--interval", "10ms"}} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &output{}
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, args, streams{strings.NewReader(""), out, out}) }()
		d.Until("it is shown again", func() (string, bool) {
			s := out.String()
			return s, strings.Count(s, "\n") > 10 || strings.Count(s, "requests\":") > 1
		})
		cancel()
		if code := <-ended; code != 0 || strings.ContainsRune(out.String(), '\x1b') {
			t.Errorf("%v: exit code %d: %q", args, code, out)
		}
	}
	desk := &desk{out: &output{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown := 0
	err := desk.watch(ctx, time.Millisecond, true, func(context.Context) ([]byte, error) {
		if shown++; shown == 3 {
			cancel()
		}
		return []byte("state\n"), nil
	})
	if out := fmt.Sprint(desk.out); err != nil || out != clearScreen+"state\n"+clearScreen+"state\n" {
		t.Errorf("on a terminal: %v, %q", err, out)
	}
}

// What this NATS user may not see is named, at once; the rest is shown.
func TestStatusOfALimitedUser(t *testing.T) {
	limited := &server.User{Username: "limited", Password: "secret", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.INFO.GEMINI_DEADLETTERS", "$JS.API.CONSUMER.INFO.GEMINI_RETRIES.>", "gemini.status", "gemini.cancels.>", "$JS.API.CONSUMER.PAUSE.>"}},
	}}
	d := onDuty(t, func(o *server.Options) { o.Users = []*server.User{{Username: "admin", Password: "secret"}, limited} })
	d.as("admin")
	d.command(0, "provision")
	id := d.Ask(secret, nil)
	d.as("limited")
	began := time.Now()
	out := d.expect([]string{"status"}, "1 waiting", "not seen     stream GEMINI_DEADLETTERS: this NATS user may not do that", "consumer gemini-client of GEMINI_RETRIES", "workers: this NATS user may not", "retries not seen")
	if strings.Contains(out, "GEMINI_REQUESTS:") || time.Since(began) >= 5*time.Second {
		t.Errorf("after %s:\n%s", time.Since(began), out)
	}
	d.expect([]string{"status", id}, "queued", "not seen", "GEMINI_DEADLETTERS")
	contains(t, d.command(2, "cancel", id), "this NATS user may not do that")
	contains(t, d.command(2, "pause"), "consumer gemini-client of GEMINI_REQUESTS", "GEMINI_RETRIES", "this NATS user may not do that")
	contains(t, d.command(2, "deadletters", "list"), "this NATS user may not do that")
}

func TestStatusOfARequest(t *testing.T) {
	d := onDuty(t)
	contains(t, d.command(1, "status", servicetest.NewID()), "unknown")

	first, queued, waiting, cancelled, orphan := d.Ask(secret, nil), servicetest.NewID(), servicetest.NewID(), servicetest.NewID(), servicetest.NewID()
	d.Publish(servicetest.Body(strings.ToUpper(queued), "it names "+first, nil), nil)
	d.expect([]string{"status", strings.ToUpper(queued)}, "queued      GEMINI_REQUESTS/2", "1 waiting before it")
	out := d.expect([]string{"status", first}, "GEMINI_REQUESTS/1")
	if strings.Contains(out, "GEMINI_REQUESTS/2") || strings.Contains(out, "mango") {
		t.Errorf("another request that only names the id, or a prompt:\n%s", out)
	}
	contains(t, d.command(1, "status", queued, "--scan", "1"), "only the first 1 messages of GEMINI_REQUESTS")

	at := d.later(waiting, 2)
	d.expect([]string{"status", waiting}, "waits       until "+clock(at), "(retry 2)")
	d.command(0, "cancel", cancelled)
	d.expect([]string{"status", cancelled}, "cancelled   20")
	d.put(d.Names.Claim(d.Names.ResponseQueue, orphan), nil, []byte("GEMINI_REQUESTS 9 gone 2"))
	d.expect([]string{"status", orphan}, "by instance gone, which is gone", "GEMINI_REQUESTS/9, start 2")

	d.work()
	d.Result(first)
	failed := d.Ask(dies, nil)
	d.Result(failed)
	d.expect([]string{"status", first}, "answered    gemini.responses.completed."+first)
	d.expect([]string{"status", failed}, "answered    gemini.responses.failed."+failed+" (model_unavailable)", "dead letter 1 (model_unavailable)")
	var w whereabouts
	if out := d.command(0, "status", failed, "--json"); json.Unmarshal([]byte(out), &w) != nil || w.Answers[0].Code != events.ModelUnavailable || w.DeadLetter.Sequence != 1 || w.CancelledAt != nil || len(w.Queued) != 0 {
		t.Errorf("--json: %s", out)
	}
}
