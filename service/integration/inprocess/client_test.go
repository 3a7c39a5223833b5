package inprocess_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/service/servicetest"
)

func (b *bench) client(nc *nats.Conn, options ...client.Option) *client.Client {
	b.t.Helper()
	c, err := client.New(nc, options...)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// All that a backend does with the library works with its least rights, and what another
// user may not do is told at once.
func TestClientWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := runStack(t)
	s.start()
	c := s.client(s.backend.NC, client.WithAPIPrefix("gemini.js"))
	h, err := c.Submit(s.Context(), events.Request{Prompt: "hello", Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for d, err := range h.Deltas(s.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(d.Content)
	}
	if r, err := h.Result(s.Context()); err != nil || *r.Content != text.String() {
		t.Errorf("got %+v, %v; want %q", r, err, text.String())
	}
	waits, err := c.Submit(s.Context(), events.Request{Prompt: "[sim:hang]"})
	if err == nil {
		err = waits.Cancel(s.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	var failed *client.FailedError
	if _, err := waits.Result(s.Context()); !errors.As(err, &failed) || failed.Code != events.Cancelled {
		t.Errorf("got %v, want cancelled", err)
	}
	read := 0
	for _, err := range c.Results(s.Context(), "backend") {
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
		if read++; read == 2 {
			break
		}
	}
	for what, try := range map[string]func() error{
		"another reader":        func() error { return firstError(c.Results(s.Context(), "other")) },
		"a worker's submit":     func() error { return s.submitAs(servicetest.User("worker")) },
		"an inbox of another's": func() error { return s.submitAs([]nats.Option{nats.UserInfo("backend", "backend")}) },
	} {
		if err := try(); !errors.Is(err, client.ErrNotAllowed) {
			t.Errorf("%s: %v, want ErrNotAllowed", what, err)
		}
	}
}

func firstError(results func(func(client.Received, error) bool)) (first error) {
	for _, err := range results {
		first = err
		break
	}
	return first
}

func (s *stack) submitAs(user []nats.Option) error {
	_, err := s.client(s.nats.Connect(user...), client.WithAPIPrefix("gemini.js")).Submit(s.Context(), events.Request{Prompt: "hello"})
	return err
}

// A submit, the service's spans and whoever reads the result are of one trace.
func TestClientTraces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() {
		if err := provider.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ctx, parent := provider.Tracer("test").Start(b.Context(), "a backend's own")
	c := b.client(b.NC, client.WithTracerProvider(provider), client.WithPropagator(propagation.TraceContext{}))
	h, err := c.Submit(ctx, events.Request{Prompt: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	parent.End()
	sent := spans.GetSpans().Snapshots()[0]
	if sent.SpanKind() != trace.SpanKindProducer || sent.Parent().SpanID() != parent.SpanContext().SpanID() || sent.Name() != "send gemini.requests" {
		t.Errorf("span: %s, %s, of %s", sent.Name(), sent.SpanKind(), sent.Parent().SpanID())
	}
	b.Until("the service's span is the sender's", func() (string, bool) {
		for _, span := range b.spans.GetSpans() {
			if span.Parent.SpanID() == sent.SpanContext().SpanID() {
				return "", true
			}
		}
		return "", false
	})
	if _, err := b.JS.CreateConsumer(b.Context(), b.Names.ResponsesStream(), jetstream.ConsumerConfig{Durable: "backend", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	for r, err := range c.Results(b.Context(), "backend") {
		if got := trace.SpanContextFromContext(r.Context(context.Background())); err != nil || r.RequestID != h.ID() || got.TraceID() != parent.SpanContext().TraceID() || got.SpanID() == sent.SpanContext().SpanID() {
			t.Errorf("a reader's context: %v of %s (%v), want the trace %s and the result's span", got.TraceID(), r.RequestID, err, parent.SpanContext().TraceID())
		}
		break
	}
}
