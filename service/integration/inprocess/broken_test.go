package inprocess_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// brokenRequest is a body and its expected end: a failed event whose text names
// every broken rule, or a dead letter if it has no usable id.
type brokenRequest struct {
	name string
	body string // %ID% stands for a fresh id
	code events.Code
	says []string
}

func brokenRequests() []brokenRequest {
	field := func(rest string) string { return `{"request_id":"%ID%","prompt":"x",` + rest + `}` }
	callback := func(value string) string { return field(`"callback_queue":"` + value + `"`) }
	return []brokenRequest{
		{"not JSON", `this is not JSON`, "", nil},
		{"empty", ``, "", nil},
		{"not an object", `["request_id"]`, "", nil},
		{"no id", `{"prompt":"x"}`, "", nil},
		{"an id that is no UUID", `{"request_id":"42","prompt":"x"}`, "", nil},
		{"an id that is a subject", `{"request_id":"*.>","prompt":"x"}`, "", nil},
		{"cut off", `{"request_id":"%ID%","prompt":"x`, "", nil},
		{"no prompt", `{"request_id":"%ID%"}`, events.InvalidRequest, []string{"prompt"}},
		{"empty prompt", `{"request_id":"%ID%","prompt":""}`, events.InvalidRequest, []string{"prompt"}},
		{"prompt and messages", field(`"messages":[{"role":"user","content":"y"}]`), events.InvalidRequest, []string{"messages", "prompt"}},
		{"wrong types", field(`"model":7,"parameters":{"temperature":"hot","top_k":1.5},"metadata":"m"`), events.InvalidRequest, []string{"model", "temperature", "top_k", "metadata"}},
		{"out of range", field(`"parameters":{"temperature":3,"top_p":-1,"top_k":0,"max_output_tokens":99999999}`), events.InvalidRequest, []string{"temperature", "top_p", "top_k", "max_output_tokens"}},
		{"a model that is not allowed", field(`"model":"openai/gpt-9"`), events.InvalidRequest, []string{"model", "openai/gpt-9"}},
		{"a refused field", field(`"openrouter":{"stream":false,"max_tokens":1}`), events.InvalidRequest, []string{"stream", "max_tokens"}},
		{"a plugin", field(`"openrouter":{"plugins":[{"id":"web"}]}`), events.InvalidRequest, []string{"web"}},
		{"a timestamp", field(`"timestamp":"yesterday"`), events.InvalidRequest, []string{"timestamp"}},
		{"callback: an API subject", callback(`$JS.API.STREAM.DELETE.GEMINI_REQUESTS`), events.CallbackNotAllowed, []string{"callback_queue"}},
		{"callback: a wildcard", callback(`gemini.responses.>`), events.CallbackNotAllowed, []string{"callback_queue"}},
		{"callback: a space", callback(`gemini.responses a`), events.CallbackNotAllowed, []string{"callback_queue"}},
		{"callback: 4200 characters", callback(strings.Repeat("a", 4200)), events.CallbackNotAllowed, []string{"callback_queue"}},
		{"callback: the request queue", callback(`gemini.requests`), events.CallbackNotAllowed, []string{"callback_queue"}},
		{"callback: a claim", callback(`gemini.claims`), events.CallbackNotAllowed, []string{"callback_queue"}},
	}
}

// Every broken request ends in a failed event that names each broken rule, or in a
// dead letter. None costs a call. None blocks the requests behind it.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	ids := map[string]brokenRequest{}
	deadLetters := 0
	for _, r := range brokenRequests() {
		id := servicetest.NewID()
		b.Publish([]byte(strings.Replace(r.body, "%ID%", id, 1)), nil)
		if r.code == "" {
			deadLetters++
		} else {
			ids[id] = r
		}
	}
	good := b.Ask("the one behind them", nil)
	if got := b.Result(good); got.Result.Status != events.StatusSuccess {
		t.Errorf("the request behind the broken ones: %s", got.Body)
	}
	for id, r := range ids {
		got := b.Result(id)
		if got.Subject != events.Failed("gemini.responses", id) {
			t.Errorf("%s: subject %s", r.name, got.Subject)
			continue
		}
		if code := *got.Result.ErrorCode; code != r.code {
			t.Errorf("%s: code %s, want %s", r.name, code, r.code)
		}
		for _, word := range r.says {
			if !strings.Contains(*got.Result.Error, word) {
				t.Errorf("%s: the text does not name %q: %s", r.name, word, *got.Result.Error)
			}
		}
	}
	kept := b.Collect(b.Names.DeadlettersStream(), "gemini.deadletters.invalid_request.none", deadLetters)
	for _, deadLetter := range kept {
		if deadLetter.Header.Get(events.HeaderReason) == "" {
			t.Errorf("a dead letter without a reason: %s", deadLetter.Body)
		}
	}
	b.Idle()
	if n := b.stream(b.Names.DeadlettersStream()).Msgs; int(n) != deadLetters {
		t.Errorf("dead letters: got %d, want %d: one a message without a usable id, none for invalid ones", n, deadLetters)
	}
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1: broken requests cost nothing", n)
	}
	if n := len(b.Results()); n != len(ids)+1 {
		t.Errorf("results: got %d, want %d", n, len(ids)+1)
	}
}

// Bodies over the limit.
func TestRequestOverTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.RequestMaxBytes = 1000 })
	b.start()
	id := b.Ask(strings.Repeat("x", 2000), nil)
	got := b.Result(id)
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.PayloadTooLarge {
		t.Errorf("result: %s", got.Body)
	}
	if n := b.openrouter.Count(); n != 0 {
		t.Errorf("calls: got %d, want 0", n)
	}
}

// An answer over max_payload where there is no object store: the reasoning goes first,
// then the answer; usage and cost stay in the result.
func TestResultOverMaxPayload(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	b := setupOn(t, n, or)
	r := b.start()
	if err := b.JS.DeleteObjectStore(b.Context(), "GEMINI_BODIES"); err != nil {
		t.Fatal(err)
	}
	id := b.Ask("[sim:huge bytes=200000]", nil)
	got := b.Result(id)
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.PayloadTooLarge {
		t.Fatalf("result: %.300s", got.Body)
	}
	if got.Result.Usage == nil || got.Result.Cost == nil {
		t.Errorf("usage %v and cost %v: want what was billed", got.Result.Usage, got.Result.Cost)
	}
	b.Idle()
	// Metrics and log report the same failure as the result.
	text, _ := r.get("/metrics")
	if want := `gemini_requests_total{code="payload_too_large",gen_ai_request_model="google/gemini-2.5-flash",tenant="default",verdict="failed"} 1`; !strings.Contains(text, want) {
		t.Errorf("scrape lacks %s", want)
	}
	if want := `"msg":"request failed","verdict":"failed"`; !strings.Contains(b.log.String(), want) {
		t.Errorf("log lacks %s", want)
	}
}

// A publisher who may only publish requests cannot damage the queue with
// headers.
func TestPublisherCannotDamageTheQueue(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "backend", Password: "b", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"gemini.requests"}}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
	})
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	b := setupOn(t, n, or)
	b.provision()
	var ids []string
	for range 10 {
		ids = append(ids, b.Ask("innocent", nil))
	}
	nc := n.Connect(nats.UserInfo("backend", "b"))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	hostile := []nats.Header{
		{"Nats-Rollup": {"all"}},
		{"Nats-Rollup": {"sub"}},
		{"Nats-TTL": {"1s"}},
		{"Nats-Schedule": {"@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, "Nats-Schedule-Target": {"gemini.requests"}},
		{"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"gemini.requests"}, "Nats-Schedule-Rollup": {"sub"}},
		{"Nats-Incr": {"1"}},
		{"Nats-Batch-Id": {"x"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}},
		{"Nats-Scheduler": {"gemini.requests"}, "Nats-Schedule-Next": {"purge"}},
	}
	accepted := 0
	for _, header := range hostile {
		m := &nats.Msg{Subject: "gemini.requests", Header: header, Data: servicetest.Body(servicetest.NewID(), "hostile", nil)}
		if _, err := js.PublishMsg(b.Context(), m); err == nil {
			accepted++
			t.Logf("accepted as an ordinary request: %v", header)
		}
	}
	if got, want := b.stream(b.Names.RequestsStream()).Msgs, uint64(len(ids)+accepted); got != want {
		t.Fatalf("requests in the queue: got %d, want %d (a header has removed some)", got, want)
	}
	b.start()
	for _, id := range ids {
		if got := b.Result(id); got.Result.Status != events.StatusSuccess {
			t.Errorf("an innocent request: %s", got.Body)
		}
	}
	b.Idle()
	if got := len(b.Results()); got != len(ids)+accepted {
		t.Errorf("results: got %d, want %d", got, len(ids)+accepted)
	}
}

// A message whose headers do not fit into its dead letter keeps its body.
func TestDeadLetterWithTooManyHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	header := nats.Header{}
	for i := range 2000 {
		header[fmt.Sprintf("Nats-%04d", i)] = []string{"x"}
	}
	body := servicetest.Body(servicetest.NewID(), "[sim:model_deprecated]"+strings.Repeat("x", 1<<20-16<<10-28400), nil)
	b.Publish(body, header)
	b.start()
	deadLetter := b.Collect(b.Names.DeadlettersStream(), "", 1)[0]
	if string(deadLetter.Body) != string(body) {
		t.Errorf("the body: %d bytes, want %d", len(deadLetter.Body), len(body))
	}
	b.Idle()
}

// A message without a body that looks like a status of the server is a dead letter
// like any other, and blocks nothing.
func TestRequestsThatLookLikeAStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	hostile := []nats.Header{
		{"Status": {"100"}},
		{"Status": {"404"}},
		{"Status": {"408"}},
		{"Status": {"503"}},
		{"Status": {"409"}, "Description": {"Consumer Deleted"}},
	}
	for _, h := range hostile {
		b.Publish(nil, h)
	}
	var ids []string
	for range 20 {
		ids = append(ids, b.Ask("behind them", nil))
	}
	b.start()
	for _, id := range ids {
		b.Result(id)
	}
	b.Collect(b.Names.DeadlettersStream(), "", len(hostile))
	b.Idle()
	if log := b.log.String(); strings.Contains(log, `"deliveries":`) || strings.Contains(log, "cannot be read") {
		t.Errorf("something was delivered again, or the queue could not be read:\n%s", log)
	}
}
