package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/events/client/clienttest"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// soon bounds a test's waits. It is no part of any assertion.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func newClient(t *testing.T, nc *nats.Conn, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(nc, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func submit(t *testing.T, c *client.Client, r events.Request) *client.Handle {
	t.Helper()
	h, err := c.Submit(soon(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A request is answered, and its result is there for whoever knows its id, also on another
// connection.
func TestSubmit(t *testing.T) {
	t.Parallel()
	nc := clienttest.Start(t, clienttest.WithAnswer(func(prompt string) string { return "to " + prompt }))
	c := newClient(t, nc)
	h := submit(t, c, events.Request{Prompt: "hello", Metadata: []byte(`{"n":1}`)})
	again, err := newClient(t, nc).Open(h.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []*client.Handle{h, h, again} {
		r, err := one.Result(soon(t))
		if err != nil || r.Content == nil || *r.Content != "to hello" || r.RequestID != h.ID() || string(r.Metadata) != `{"n":1}` {
			t.Errorf("got %+v, %v", r, err)
		}
	}
}

// What failed is an error with its code, and its result beside it.
func TestFailedResult(t *testing.T) {
	t.Parallel()
	c := newClient(t, clienttest.Start(t))
	r, err := submit(t, c, events.Request{Prompt: "hello [sim:400]"}).Result(soon(t))
	var failed *client.FailedError
	if !errors.As(err, &failed) || failed.Code != events.InvalidRequest || failed.Retryable || failed.Result.RequestID != r.RequestID || !strings.Contains(err.Error(), "invalid_request: ") {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	c := newClient(t, clienttest.Start(t))
	h := submit(t, c, events.Request{Prompt: "hello [sim:hang]"})
	if err := h.Cancel(soon(t)); err != nil {
		t.Fatal(err)
	}
	var failed *client.FailedError
	if _, err := h.Result(soon(t)); !errors.As(err, &failed) || failed.Code != events.Cancelled {
		t.Errorf("got %v, want cancelled", err)
	}
}

// The pieces make the answer, and end with it; also where they were not asked for or are
// over.
func TestDeltas(t *testing.T) {
	t.Parallel()
	c := newClient(t, clienttest.Start(t))
	h := submit(t, c, events.Request{Prompt: "hello", Stream: true})
	var text strings.Builder
	for d, err := range h.Deltas(soon(t)) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(d.Content)
	}
	r, err := h.Result(soon(t))
	if err != nil || text.String() != *r.Content {
		t.Errorf("%q, want %q (%v)", text.String(), *r.Content, err)
	}
	for d, err := range h.Deltas(soon(t)) {
		t.Errorf("a delta of an answer that is over: %+v, %v", d, err)
	}
	late := submit(t, c, events.Request{Prompt: "hello", Stream: true})
	if r, err = late.Result(soon(t)); err != nil {
		t.Fatal(err)
	}
	text.Reset()
	for d, err := range late.Deltas(soon(t)) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(d.Content)
	}
	if text.String() != *r.Content {
		t.Errorf("read late: %q, want %q", text.String(), *r.Content)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	never := submit(t, c, events.Request{Prompt: "[sim:hang]", Stream: true})
	for _, err := range never.Deltas(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's end", err)
		}
	}
	if err := never.Cancel(soon(t)); err != nil {
		t.Error(err)
	}
}

// Each of many is in the queue, or has an error of its own.
func TestSubmitMany(t *testing.T) {
	t.Parallel()
	c := newClient(t, clienttest.Start(t))
	var requests []events.Request
	for i := range 300 {
		requests = append(requests, events.Request{Prompt: fmt.Sprint("question ", i)})
	}
	requests[7].ID = "seven"
	for i, s := range c.SubmitMany(soon(t), requests) {
		if i == 7 {
			if s.Err == nil || s.Handle != nil {
				t.Errorf("an id that is no UUID: %+v", s)
			}
			continue
		}
		if s.Err != nil {
			t.Fatal(s.Err)
		}
		if _, err := s.Handle.Result(soon(t)); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
}

// A durable reader gets every result once, and what a loop was left at once more.
func TestResults(t *testing.T) {
	t.Parallel()
	nc := clienttest.Start(t)
	c := newClient(t, nc)
	asked := map[string]bool{}
	for range 3 {
		h := submit(t, c, events.Request{Prompt: "hello"})
		if _, err := h.Result(soon(t)); err != nil {
			t.Fatal(err)
		}
		asked[h.ID()] = true
	}
	h := submit(t, c, events.Request{Prompt: "hello [sim:400]"})
	asked[h.ID()] = true
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(soon(t), "GEMINI_RESPONSES", jetstream.ConsumerConfig{Durable: "backend", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second}); err != nil {
		t.Fatal(err)
	}
	for range c.Results(soon(t), "backend") {
		break // it is not acknowledged
	}
	failures := 0
	for r, err := range c.Results(soon(t), "backend") {
		if _, failed := errors.AsType[*client.FailedError](err); failed {
			failures++
		} else if err != nil {
			t.Fatal(err)
		}
		if !asked[r.RequestID] || r.EventID == "" || r.Callback != "gemini.responses" {
			t.Errorf("got %+v", r)
		}
		if delete(asked, r.RequestID); len(asked) == 0 {
			break
		}
	}
	if failures != 1 {
		t.Errorf("failures: %d, want 1", failures)
	}
	for _, err := range c.Results(soon(t), "nobody") {
		if !errors.Is(err, jetstream.ErrConsumerNotFound) || !strings.Contains(err.Error(), "provision --reader nobody") {
			t.Errorf("got %v", err)
		}
	}
}

// Results go to the client's callback, and come live where that is asked for.
func TestOptions(t *testing.T) {
	t.Parallel()
	const ours = "gemini.responses.ours"
	nc := clienttest.Start(t, clienttest.WithConfig(func(c *config.Config) { c.CallbackAllow = config.List{ours} }))
	c := newClient(t, nc, client.WithCallback(ours), client.WithLiveResults(), client.WithNames(events.DefaultNames()))
	h := submit(t, c, events.Request{Prompt: "hello"})
	if _, err := h.Result(soon(t)); err != nil {
		t.Error(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(soon(t), "GEMINI_RESPONSES")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetLastMsgForSubject(soon(t), events.Completed(ours, h.ID())); err != nil {
		t.Errorf("it is not on the client's callback: %v", err)
	}
	if _, err := client.New(nc, client.WithNames(events.Names{})); err == nil || !strings.Contains(err.Error(), "REQUEST_QUEUE") {
		t.Errorf("without names: %v", err)
	}
}
