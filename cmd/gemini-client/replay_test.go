package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// dies and heals are prompts of requests that fail for good: each time, or once.
const (
	dies  = secret + " [sim:model_deprecated]"
	heals = secret + " [sim:model_deprecated times=1]"
)

// settled waits until everything is settled and checks how often OpenRouter
// was called and how the results of a request follow each other.
func (b *bench) settled(id string, calls int, verdicts ...string) {
	b.t.Helper()
	b.Idle()
	if n := b.openrouter.Count(); n != calls {
		b.t.Errorf("calls: got %d, want %d", n, calls)
	}
	var got []string
	for _, r := range b.Results() {
		if _, verdict, of, ok := events.ParseResult(r.Subject); ok && of == id {
			got = append(got, verdict)
		}
	}
	if strings.Join(got, " ") != strings.Join(verdicts, " ") {
		b.t.Errorf("results: got %v, want %v", got, verdicts)
	}
}

// put stores a message as it is, by hand.
func (b *bench) put(subject string, header nats.Header, body []byte) uint64 {
	b.t.Helper()
	ack, err := b.JS.PublishMsg(b.Context(), &nats.Msg{Subject: subject, Header: header, Data: body})
	if err != nil {
		b.t.Fatal(err)
	}
	return ack.Sequence
}

// A request that failed is replayed and completes; nothing follows that, not
// even when the same replay comes once more.
func TestReplayCompletes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.work()
	id := servicetest.NewID()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	body := bytes.Replace(servicetest.Body(id, heals, map[string]any{"metadata": map[string]any{"order": 7}}), []byte(`"order":7`), []byte("\"order\" :\t7 "), 1)
	b.Publish(body, nats.Header{"X-Own": {"kept"}, "Nats-Msg-Id": {"mine"}, "traceparent": {trace}, "gemini-replay": {"99"}, "gemini-strikes": {"2"}, "Gemini-Retry-Count": {"1"}, "gemini-timeouts": {"1"}})
	b.Result(id)
	b.Idle()
	failed := b.message(b.Names.ResponsesStream(), events.Failed(b.Names.ResponseQueue, id))
	stop()

	b.expect([]string{"deadletters", "replay", id, "--dry-run"}, "would be replayed: follows the failed result "+fmt.Sprint(failed.Sequence), "1 would be replayed, 0 skipped, 0 cannot")
	if b.count(b.Names.RetriesStream()) != 0 || b.count(b.Names.DeadlettersStream()) != 1 {
		t.Fatal("a dry run changed something")
	}
	out := b.expect([]string{"deadletters", "replay", "--code", "model_unavailable"}, id, "1 replayed, 0 skipped, 0 cannot")
	if strings.Contains(out, "mango") {
		t.Errorf("a prompt shows:\n%s", out)
	}
	replay := b.message(b.Names.RetriesStream(), b.Names.Retries())
	if !bytes.Equal(replay.Data, body) {
		t.Errorf("replayed body: got %q, want %q", replay.Data, body)
	}
	want := nats.Header{"X-Own": {"kept"}, "traceparent": {trace}, events.HeaderReplay: {fmt.Sprint(failed.Sequence)}, events.HeaderTenant: {"default"}, events.HeaderLane: {"interactive"}}
	for name, values := range replay.Header {
		if strings.HasPrefix(name, "Nats-") { // of this message, and of looking at it
			continue
		}
		if fmt.Sprint(values) != fmt.Sprint(want[name]) {
			t.Errorf("header %s: got %v, want %v", name, values, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("headers missing: %v", want)
	}
	b.expect([]string{"deadletters", "replay", "--code", "model_unavailable"}, "0 replayed, 0 skipped, 0 cannot")
	contains(t, b.command(1, "deadletters", "replay", "1"), "there is no dead letter 1")

	b.work()
	got := b.results(id, 2)[1]
	if got.Result.Status != events.StatusSuccess || string(got.Result.Metadata) != "{\"order\" :\t7 }" || got.Result.RetryCount != 0 || !strings.Contains(fmt.Sprint(got.Header["traceparent"]), trace[3:35]) {
		t.Errorf("result: %v %s", got.Header, got.Body)
	}
	b.settled(id, 2, "failed", "completed")
	b.put(b.Names.Retries(), replay.Header, body)
	b.settled(id, 2, "failed", "completed")
}

// A replay that fails again and is delivered again is not called a third time.
// Its new dead letter can be replayed in turn.
func TestReplayFailsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := b.failure(dies, nil)
	first := b.message(b.Names.ResponsesStream(), events.Failed(b.Names.ResponseQueue, id)).Sequence
	b.expect([]string{"deadletters", "replay", id}, "1 replayed")
	b.results(id, 2)
	b.settled(id, 2, "failed", "failed")
	b.put(b.Names.Retries(), nats.Header{events.HeaderReplay: {fmt.Sprint(first)}}, servicetest.Body(id, dies, nil))
	b.settled(id, 2, "failed", "failed")
	b.expect([]string{"deadletters", "replay", "--all"}, "1 replayed")
	b.results(id, 3)
	b.settled(id, 3, "failed", "failed", "failed")
}

// What was answered meanwhile is not called again, and its dead letter stays.
func TestReplayAnsweredSince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := b.failure(heals, nil)
	dead := b.message(b.Names.DeadlettersStream(), b.Names.DeadlettersAll())
	b.expect([]string{"deadletters", "replay", id}, "1 replayed")
	b.results(id, 2)
	sequence := b.put(dead.Subject, nats.Header{}, dead.Data)
	b.expect([]string{"deadletters", "replay", fmt.Sprint(sequence)}, "skipped: answered since", "0 replayed, 1 skipped")
	b.settled(id, 2, "failed", "completed")
	if n := b.count(b.Names.DeadlettersStream()); n != 1 {
		t.Errorf("dead letters: %d, want 1", n)
	}
}

// Only what comes through the retries is a replay: a requester's header is
// none.
func TestForgedReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := b.failure(dies, nil)
	follows := fmt.Sprint(b.message(b.Names.ResponsesStream(), events.Failed(b.Names.ResponseQueue, id)).Sequence)
	b.Publish(servicetest.Body(id, dies, nil), nats.Header{events.HeaderReplay: {follows}})
	b.settled(id, 1, "failed")
}

// When no result is kept any more, the request is simply answered.
func TestReplayWithoutResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := b.failure(heals, nil)
	responses, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := responses.Purge(b.Context()); err != nil {
		t.Fatal(err)
	}
	b.expect([]string{"deadletters", "replay", id}, "no result of it is kept any more")
	b.results(id, 1)
	b.settled(id, 2, "completed")
}

// What cannot be answered, or would only be refused, is not replayed and stays.
func TestReplayImpossible(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deadLetters := b.Names.DeadlettersStream()
	at := func(code events.Code, id, body string) uint64 {
		return b.put(b.Names.Deadletter(code, id), nil, []byte(body))
	}
	one, two, three := servicetest.NewID(), servicetest.NewID(), servicetest.NewID()
	at(events.InvalidRequest, "", `{"prompt":"`+secret+`"}`)
	at(events.Internal, one, `{"request_id":"`+one+`","prompt":"`+secret+`","callback_queue":"gemini.responses.other"}`)
	at(events.Internal, two, `{"request_id":"`+two+`","prompt":"`+secret+`","deadline":"2020-01-01T00:00:00Z"}`)
	at(events.Internal, three, `{"request_id":"`+three+`","prompt":"`+secret+`"}`)
	at(events.Internal, strings.ToUpper(three), `{"request_id":"`+strings.ToUpper(three)+`","prompt":"`+secret+`"}`)
	out := b.command(1, "deadletters", "replay", "--all", "--dry-run")
	contains(t, out, "no usable request_id", "would refuse it: callback_queue", "its deadline passed", "dead letter 4 is the same request", "1 would be replayed, 2 skipped, 2 cannot be replayed")
	if out := b.command(1, "deadletters", "replay", "--all"); strings.Contains(out, "mango") {
		t.Errorf("a prompt shows:\n%s", out)
	}
	if n := b.count(deadLetters); n != 4 {
		t.Errorf("dead letters: %d, want 4", n)
	}
	if n := b.count(b.Names.RetriesStream()); n != 1 {
		t.Errorf("replays: %d, want 1", n)
	}
}

// The result that a replay follows is that of its own callback.
func TestReplayOnItsCallback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set("CALLBACK_ALLOW", []string{"gemini.responses.a", "gemini.responses.b"})
	b.work()
	id := servicetest.NewID()
	for _, callback := range []string{"gemini.responses.a", "gemini.responses.b"} {
		b.Publish(servicetest.Body(id, dies, map[string]any{"callback_queue": callback}), nil)
		b.Collect(b.Names.ResponsesStream(), events.AnyResult(callback, id), 1)
	}
	b.Idle()
	out := b.expect([]string{"deadletters", "replay", id}, "2 replayed")
	contains(t, out, "follows the failed result 1", "follows the failed result 2")
	for _, callback := range []string{"gemini.responses.a", "gemini.responses.b"} {
		b.Collect(b.Names.ResponsesStream(), events.AnyResult(callback, id), 2)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 4 {
		t.Errorf("calls: %d, want 4", n)
	}
	b.expect([]string{"status", id}, "gemini.responses.a.failed", "gemini.responses.b.failed", "dead letter")
}

// A replay whose dead letter could not be deleted is the same replay when it
// is made again.
func TestReplayInterrupted(t *testing.T) {
	t.Parallel()
	admin := &server.User{Username: "admin", Password: "secret"}
	reader := &server.User{Username: "reader", Password: "secret", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.MSG.DELETE.>"}},
	}}
	b := setup(t, func(o *server.Options) { o.Users = []*server.User{admin, reader} })
	b.as("admin")
	b.command(0, "provision")
	id := servicetest.NewID()
	b.put(b.Names.Deadletter(events.Internal, id), nil, servicetest.Body(id, secret, nil))
	b.as("reader")
	contains(t, b.command(2, "deadletters", "replay", "1"), "it was replayed, but the dead letter is still there", "purge 1", "this NATS user may not")
	b.as("admin")
	b.expect([]string{"deadletters", "replay", "1"}, "1 replayed")
	if n := b.count(b.Names.RetriesStream()); n != 1 {
		t.Errorf("replays: %d, want 1", n)
	}
	if n := b.count(b.Names.DeadlettersStream()); n != 0 {
		t.Errorf("dead letters: %d", n)
	}
}

// as makes the commands, and the backend, a NATS user.
func (b *bench) as(user string) {
	b.t.Helper()
	b.set("NATS_USER", user)
	b.set("NATS_PASSWORD", "secret")
	if user != "admin" {
		return
	}
	nc := b.nats.Connect(nats.UserInfo(user, "secret"))
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Backend = &servicetest.Backend{T: b.t, NC: nc, JS: js, Names: servicetest.Names()}
}
