//go:build integration

package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	api "go.opentelemetry.io/otel/trace"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// One request leaves one trace in Jaeger, from the backend that published it to
// the acknowledgement, with each attempt.
func TestOneTraceFromPublisherToResult(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	net := s.network()
	n := s.nats("nats", fmt.Sprintf(single, "nats"), on(net, "nats"))
	j := s.jaeger(on(net, "jaeger"))
	up := s.upstream(simulator.Config{})
	w := s.worker("worker", settings{"OPENROUTER_BASE_URL": up.url, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318", "OTEL_BSP_SCHEDULE_DELAY": "200"}, on(net, "worker"))
	b := s.backend(n.url)

	id := servicetest.NewID()
	const prompt = "Why is the sky of Jupiter ochre?"
	publisher := j.publish(b, id, prompt+" [sim:503 times=1]")
	answer := *b.Result(id).Result.Content
	spans, text := j.trace(publisher.TraceID().String(), func(all []span) bool { return len(all) >= 7 })
	tree := &traceTree{t: t, spans: spans}

	root := tree.one("backend", "publish gemini.requests")
	process := tree.one("gemini-client", "process gemini.requests")
	chat := tree.one("gemini-client", "chat google/gemini-2.5-flash")
	publish := tree.one("gemini-client", "publish gemini.responses.completed.{request_id}")
	ack := tree.one("gemini-client", "ack gemini.requests")
	tree.below(process, root, kindConsumer)
	tree.below(chat, process, kindClient)
	tree.below(publish, process, kindProducer)
	tree.below(ack, process, kindClient)
	if root.ID != publisher.SpanID().String() || root.Kind != kindProducer {
		t.Errorf("the root is %+v, want the publisher's span %s", root, publisher.SpanID())
	}
	attempts := tree.all("POST")
	if len(attempts) != 2 || len(spans) != 7 {
		t.Fatalf("%d attempts in %d spans, want 2 in 7: %s", len(attempts), len(spans), names(spans))
	}
	for _, attempt := range attempts {
		tree.below(attempt, chat, kindClient)
	}
	tree.checkMessaging(process, publish, ack, id)
	tree.checkChat(chat, up)
	tree.checkAttempts(attempts)
	tree.checkResource()
	for what, secret := range map[string]string{"prompt": prompt, "answer": answer, "key": w.key} {
		if strings.Contains(text, secret) || strings.Contains(text, secret[:24]) {
			t.Errorf("the %s is in the trace: %s", what, text)
		}
	}
	w.leave()
}

// publish asks as a traced backend does, and returns its span, which Jaeger has
// by then.
func (j *jaeger) publish(b *servicetest.Backend, id, prompt string) api.SpanContext {
	j.stage.t.Helper()
	ctx := j.stage.t.Context()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(j.otlp), otlptracehttp.WithInsecure(), otlptracehttp.WithProxy(nil))
	j.stage.must("exporter", err)
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter), trace.WithResource(resource.NewSchemaless(semconv.ServiceName("backend"))))
	defer func() {
		j.stage.must("flush the backend's spans", provider.Shutdown(context.WithoutCancel(ctx)))
	}()
	ctx, span := provider.Tracer("backend").Start(ctx, "publish gemini.requests", api.WithSpanKind(api.SpanKindProducer))
	header := nats.Header{}
	propagation.TraceContext{}.Inject(ctx, carrier(header))
	b.Publish(servicetest.Body(id, prompt, nil), header)
	span.End()
	return span.SpanContext()
}

// carrier writes header names as they are, in lower case.
type carrier nats.Header

func (c carrier) Get(name string) string { return nats.Header(c).Get(name) }
func (c carrier) Set(name, value string) { nats.Header(c).Set(name, value) }
func (c carrier) Keys() (names []string) { return nil }

// traceTree is the spans of one trace.
type traceTree struct {
	t     *testing.T
	spans []span
}

// one returns the only span of a service with this name.
func (tree *traceTree) one(service, name string) span {
	tree.t.Helper()
	found := tree.all(name)
	if len(found) != 1 || found[0].service() != service {
		tree.t.Fatalf("%d spans named %q, want one of %s; there are: %s", len(found), name, service, names(tree.spans))
	}
	return found[0]
}

// all returns the spans with this name in the order of their start.
func (tree *traceTree) all(name string) (found []span) {
	for _, s := range tree.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b span) int { return strings.Compare(a.StartedAt, b.StartedAt) })
	return found
}

func (tree *traceTree) below(s, parent span, kind int) {
	tree.t.Helper()
	if s.Parent != parent.ID || s.Kind != kind {
		tree.t.Errorf("%s: parent %s, kind %d, want below %s (%s), kind %d", s.Name, s.Parent, s.Kind, parent.Name, parent.ID, kind)
	}
}

// has checks attributes; the value "*" stands for any that is not empty.
func (tree *traceTree) has(s span, want fields) {
	tree.t.Helper()
	for key, value := range want {
		if got := s.Attributes[key]; got != value && (value != "*" || got == "") {
			tree.t.Errorf("%s: %s is %q, want %q; there is %v", s.Name, key, got, value, s.Attributes)
		}
	}
}

func (tree *traceTree) checkMessaging(process, publish, ack span, id string) {
	tree.t.Helper()
	tree.has(process, fields{
		"messaging.system": "nats", "messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.destination.name": "gemini.requests", "messaging.consumer.group.name": "gemini-client",
		"messaging.message.id": "*", "messaging.message.conversation_id": id,
		"messaging.nats.stream": "GEMINI_REQUESTS", "messaging.nats.consumer": "gemini-client",
		"messaging.nats.sequence.stream": "1", "messaging.nats.delivery_count": "1",
		"gemini.request.id": id, "gemini.verdict": "completed",
	})
	tree.has(publish, fields{
		"messaging.system": "nats", "messaging.operation.name": "publish", "messaging.operation.type": "send",
		"messaging.destination.template": "gemini.responses.completed.{request_id}", "messaging.message.id": "*",
	})
	tree.has(ack, fields{
		"messaging.system": "nats", "messaging.operation.name": "ack", "messaging.operation.type": "settle",
		"messaging.destination.name": "gemini.requests",
	})
	for _, s := range []span{process, publish, ack} {
		tree.has(s, fields{"server.address": "nats", "server.port": "4222"})
	}
}

func (tree *traceTree) checkChat(chat span, up *upstream) {
	tree.t.Helper()
	calls := up.Calls()
	paid := calls[len(calls)-1]
	tree.has(chat, fields{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openrouter",
		"gen_ai.request.model": "google/gemini-2.5-flash", "gen_ai.response.model": paid.ModelUsed,
		"gen_ai.request.stream": "true", "gen_ai.request.temperature": "0.7", "gen_ai.request.max_tokens": "8192",
		"gen_ai.response.id": paid.GenerationID, "gen_ai.response.finish_reasons": "*",
		"gen_ai.response.time_to_first_chunk": "*",
		"gen_ai.usage.input_tokens":           fmt.Sprint(paid.PromptTokens), "gen_ai.usage.output_tokens": fmt.Sprint(paid.CompletionTokens),
		"openrouter.usage.cost": fmt.Sprint(paid.Cost), "openrouter.provider": "*", "server.address": hostName,
	})
	if chat.failed() || chat.Attributes["error.type"] != "" {
		tree.t.Errorf("the call as a whole succeeded, yet its span has failed: %v", chat.Attributes)
	}
	for _, s := range tree.spans {
		for key := range s.Attributes {
			if strings.HasPrefix(key, "gen_ai.") && s.Name != chat.Name {
				tree.t.Errorf("%s has %s: Jaeger would take it for a model call", s.Name, key)
			}
		}
	}
}

func (tree *traceTree) checkAttempts(attempts []span) {
	tree.t.Helper()
	first, second := attempts[0], attempts[1]
	tree.has(first, fields{"http.request.method": "POST", "http.response.status_code": "503", "error.type": "503", "http.request.resend_count": ""})
	tree.has(second, fields{"http.request.method": "POST", "http.response.status_code": "200", "error.type": "", "http.request.resend_count": "1"})
	if !first.failed() || second.failed() {
		tree.t.Errorf("failed: %t, then %t, want the first attempt alone", first.failed(), second.failed())
	}
}

func (tree *traceTree) checkResource() {
	tree.t.Helper()
	for _, s := range tree.spans {
		if s.service() == "backend" {
			continue
		}
		if s.resource["service.name"] != "gemini-client" || s.resource["service.version"] != stamp || s.resource["service.instance.id"] == "" {
			tree.t.Errorf("%s: resource %v, want service.name, service.version %s and service.instance.id", s.Name, s.resource, stamp)
		}
	}
}
