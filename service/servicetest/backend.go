package servicetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// Patience is how long a test waits for a condition before it fails. It is no part
// of any assertion: conditions hold much sooner, on a cold machine too.
const Patience = 4 * time.Minute

// Backend is a user of the service: it publishes requests and reads results.
type Backend struct {
	T     testing.TB
	NC    *nats.Conn
	JS    jetstream.JetStream
	Names events.Names

	Patience time.Duration // of its waits; 0 means the constant
}

// Names are the default subjects and streams.
func Names() events.Names {
	return events.Names{RequestQueue: "gemini.requests", ResponseQueue: "gemini.responses", SubjectPrefix: "gemini", StreamPrefix: "GEMINI"}
}

// NewBackend returns a backend on its own connection.
func NewBackend(tb testing.TB, n *NATS) *Backend {
	tb.Helper()
	nc := n.Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return &Backend{T: tb, NC: nc, JS: js, Names: Names()}
}

// NewID returns a request_id.
func NewID() string { return uuid.NewString() }

// Body is a request's body with an id, a prompt and more fields.
func Body(id, prompt string, more map[string]any) []byte {
	fields := map[string]any{"request_id": id, "prompt": prompt}
	maps.Copy(fields, more)
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err) // a bug in the test
	}
	return body
}

// Ask publishes a request and returns its id.
func (b *Backend) Ask(prompt string, more map[string]any) string {
	b.T.Helper()
	id := NewID()
	b.Publish(Body(id, prompt, more), nil)
	return id
}

// Publish puts a body into the request queue.
func (b *Backend) Publish(body []byte, header nats.Header) {
	b.T.Helper()
	if _, err := b.JS.PublishMsg(b.Context(), &nats.Msg{Subject: b.Names.RequestQueue, Header: header, Data: body}); err != nil {
		b.T.Fatalf("publish a request: %v", err)
	}
}

// Context ends with the test, or when its patience is over.
func (b *Backend) Context() context.Context {
	ctx, cancel := context.WithTimeout(b.T.Context(), b.patience())
	b.T.Cleanup(cancel)
	return ctx
}

func (b *Backend) patience() time.Duration {
	if b.Patience > 0 {
		return b.Patience
	}
	return Patience
}

// Stored is a message of a stream.
type Stored struct {
	Subject string
	Header  nats.Header
	Body    []byte
	At      time.Time     // when the server stored it
	Result  events.Result // of a result
}

// Result waits for the result of a request.
func (b *Backend) Result(id string) Stored {
	b.T.Helper()
	all := b.Collect(b.Names.ResponsesStream(), events.AnyResult(b.Names.ResponseQueue, id), 1)
	return all[0]
}

// Results returns every result that is stored now.
func (b *Backend) Results() []Stored {
	b.T.Helper()
	return b.Stored(b.Names.ResponsesStream())
}

// State returns what a stream holds now.
func (b *Backend) State(stream string) (state jetstream.StreamState) {
	b.T.Helper()
	b.Until("the state of "+stream, func() (string, bool) {
		once, cancel := context.WithTimeout(b.T.Context(), 2*time.Second)
		defer cancel()
		s, err := b.JS.Stream(once, stream)
		if err == nil {
			state = s.CachedInfo().State
		}
		return fmt.Sprint(err), err == nil
	})
	return state
}

// Stored returns every message that a stream holds now.
func (b *Backend) Stored(stream string) []Stored {
	b.T.Helper()
	n := b.State(stream).Msgs
	if n == 0 {
		return nil
	}
	return b.Collect(stream, "", int(n)) //nolint:gosec // a test's few messages
}

// Collect waits until a stream holds n messages of a subject ("" = any) and
// returns them.
func (b *Backend) Collect(stream, subject string, n int) []Stored {
	b.T.Helper()
	ctx := b.Context()
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if subject != "" {
		config.FilterSubjects = []string{subject}
	}
	var messages jetstream.MessagesContext
	b.Until("reading "+stream, func() (string, bool) { // a server that has just restarted loses requests
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		consumer, err := b.JS.OrderedConsumer(once, stream, config)
		if err == nil {
			messages, err = consumer.Messages()
		}
		return fmt.Sprint(err), err == nil
	})
	defer messages.Stop()
	var all []Stored
	for len(all) < n {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			b.T.Fatalf("waiting for message %d of %d on %s %s: %v", len(all)+1, n, stream, subject, err)
		}
		all = append(all, b.decode(stream, m))
	}
	return all
}

func (b *Backend) decode(stream string, m jetstream.Msg) Stored {
	b.T.Helper()
	s := Stored{Subject: m.Subject(), Header: m.Headers(), Body: m.Data()}
	if meta, err := m.Metadata(); err == nil {
		s.At = meta.Timestamp
	}
	if stream != b.Names.ResponsesStream() {
		return s
	}
	var err error
	if s.Result, err = events.DecodeResult(m.Data()); err != nil {
		b.T.Fatalf("a result that cannot be read: %v\n%s", err, m.Data())
	}
	return s
}

// Idle waits until both queues are empty: everything was settled.
func (b *Backend) Idle() {
	b.T.Helper()
	for _, stream := range []string{b.Names.RequestsStream(), b.Names.RetriesStream()} {
		b.Until(stream+" is empty", func() (string, bool) {
			n := b.State(stream).Msgs
			return fmt.Sprintf("%d messages", n), n == 0
		})
	}
}

// Until polls until a condition holds. It fails the test, with the state that was
// seen last, when its patience is over.
func (b *Backend) Until(what string, holds func() (seen string, ok bool)) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), b.patience())
	defer cancel()
	for pause := time.Millisecond; ; pause = min(pause*3/2, 50*time.Millisecond) {
		seen, ok := holds()
		if ok {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			b.T.Fatalf("timed out waiting for: %s; last seen: %s", what, seen)
		}
	}
}
