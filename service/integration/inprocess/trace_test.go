package inprocess_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"gemini-client/service/servicetest"
)

// One request is one trace: process under the publisher's span; chat, publish
// and ack under process; an HTTP span for each attempt under chat.
func TestOneTraceARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start()
	id := servicetest.NewID()
	const traceID, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	b.Publish(servicetest.Body(id, "traced [sim:503 times=1]", nil), nats.Header{"traceparent": {"00-" + traceID + "-" + parent + "-01"}})
	result := b.Result(id)
	b.Idle()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	spans := map[string][]tracetest.SpanStub{}
	for _, s := range b.spans.GetSpans() {
		if s.SpanContext.TraceID().String() == traceID {
			spans[s.Name] = append(spans[s.Name], s)
		}
	}
	one := func(name string, kind trace.SpanKind, parent string) string {
		t.Helper()
		if len(spans[name]) != 1 {
			t.Fatalf("spans named %q: got %d, want 1; there are %v", name, len(spans[name]), names(spans))
		}
		s := spans[name][0]
		if s.SpanKind != kind || s.Parent.SpanID().String() != parent {
			t.Errorf("%s: kind %s, parent %s; want %s, %s", name, s.SpanKind, s.Parent.SpanID(), kind, parent)
		}
		return s.SpanContext.SpanID().String()
	}
	process := one("process gemini.requests", trace.SpanKindConsumer, parent)
	chat := one("chat google/gemini-2.5-flash", trace.SpanKindClient, process)
	publish := one("publish gemini.responses.completed.{request_id}", trace.SpanKindProducer, process)
	one("ack gemini.requests", trace.SpanKindClient, process)
	if len(spans["POST"]) != 2 {
		t.Errorf("HTTP spans: got %d, want one for each of 2 attempts", len(spans["POST"]))
	}
	var resent, statuses []string
	for _, s := range spans["POST"] {
		if s.Parent.SpanID().String() != chat {
			t.Errorf("an HTTP span's parent is %s, want chat %s", s.Parent.SpanID(), chat)
		}
		attrs := attributes(s)
		resent = append(resent, attrs["http.request.resend_count"])
		statuses = append(statuses, attrs["http.response.status_code"]+attrs["error.type"])
	}
	if !slices.Equal(resent, []string{"", "1"}) || !slices.Equal(statuses, []string{"503503", "200"}) {
		t.Errorf("attempts: resend counts %q, statuses and error types %q", resent, statuses)
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(b.nats.URL, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"process gemini.requests", "publish gemini.responses.completed.{request_id}", "ack gemini.requests"} {
		if attrs := attributes(spans[name][0]); attrs["server.address"] != host || attrs["server.port"] != port || attrs["messaging.system"] != "nats" {
			t.Errorf("%s: %v, want server %s and port %s", name, attrs, host, port)
		}
	}
	if h := result.Header["traceparent"]; len(h) != 1 || !strings.Contains(h[0], traceID+"-"+publish) {
		t.Errorf("the result's traceparent: got %v, want trace %s and the publish span %s", h, traceID, publish)
	}
	if call := b.openrouter.Calls()[0]; call.Header.Get("traceparent") != "" {
		t.Error("the trace context was sent to OpenRouter")
	}
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func names(spans map[string][]tracetest.SpanStub) []string {
	var all []string
	for name := range spans {
		all = append(all, name)
	}
	return all
}
