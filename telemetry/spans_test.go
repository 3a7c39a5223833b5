package telemetry

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const requestID = "5f0c3b1e-8a52-4c62-9a55-0c1f5a0b7c11"

func sampleProcess() ProcessInfo {
	return ProcessInfo{
		Destination:    "gemini.requests",
		Consumer:       "gemini-client",
		Stream:         "GEMINI_REQUESTS",
		StreamSequence: 42,
		DeliveryCount:  2,
		Stored:         time.Unix(1000, 0),
		Taken:          time.Unix(1001, 5e8),
	}
}

func TestProcessSpan(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx := b.Extract(t.Context(), map[string][]string{"traceparent": {traceparent}})
	_, span := b.StartProcess(ctx, sampleProcess())
	span.SetRequestID(requestID)
	span.SetVerdict(outcome("failed"), "rate_limited")
	span.End("rate_limited", errors.New("429 with "+secretKey))
	span.End("twice", nil)

	got := b.span(t, "process gemini.requests")
	if got.SpanKind != trace.SpanKindConsumer {
		t.Errorf("kind is %v, want consumer", got.SpanKind)
	}
	if got.Parent.SpanID().String() != spanID || got.SpanContext.TraceID().String() != traceID || len(got.Links) > 0 {
		t.Errorf("parent is %v and links are %v, want the publisher's span and none", got.Parent, got.Links)
	}
	if got.Status.Code != codes.Error || got.Status.Description != "429 with sk-or-…cdef" {
		t.Errorf("status is %v, want an error with a redacted text", got.Status)
	}
	wantAttributes(t, got.Attributes, map[string]string{
		"messaging.system":                  "nats",
		"messaging.operation.name":          "process",
		"messaging.operation.type":          "process",
		"messaging.destination.name":        "gemini.requests",
		"messaging.consumer.group.name":     "gemini-client",
		"messaging.message.id":              "GEMINI_REQUESTS:42",
		"messaging.message.conversation_id": requestID,
		"messaging.nats.stream":             "GEMINI_REQUESTS",
		"messaging.nats.consumer":           "gemini-client",
		"messaging.nats.sequence.stream":    "42",
		"messaging.nats.delivery_count":     "2",
		"gemini.request.id":                 requestID,
		"gemini.verdict":                    "failed",
		"gemini.code":                       "rate_limited",
		"error.type":                        "rate_limited",
	})
}

func TestProcessSpanLinksWhereAsked(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{TraceLink: true})
	ctx := b.Extract(t.Context(), map[string][]string{"traceparent": {traceparent}})
	info := sampleProcess()
	info.MessageID, info.RequestID, info.StreamSequence = "m-1", requestID, math.MaxUint64
	_, span := b.StartProcess(ctx, info)
	span.End("", nil)

	got := b.span(t, "process gemini.requests")
	if got.Parent.IsValid() || got.SpanContext.TraceID().String() == traceID {
		t.Errorf("parent is %v in trace %v, want a new trace", got.Parent, got.SpanContext.TraceID())
	}
	if len(got.Links) != 1 || got.Links[0].SpanContext.SpanID().String() != spanID {
		t.Errorf("links are %v, want the publisher's span", got.Links)
	}
	if got.Status.Code != codes.Unset {
		t.Errorf("status is %v, want none", got.Status)
	}
	attrs := attributesOf(got.Attributes)
	if attrs["messaging.message.id"] != "m-1" || attrs["gemini.request.id"] != requestID || attrs["messaging.nats.sequence.stream"] != "9223372036854775807" {
		t.Errorf("attributes are %v, want the ids that were given", attrs)
	}
}

func TestProcessSpanWithoutOrigin(t *testing.T) {
	t.Parallel()
	for _, link := range []bool{false, true} {
		b := setup(t, Config{TraceLink: link})
		_, span := b.StartProcess(t.Context(), sampleProcess())
		span.End("", nil)
		if got := b.span(t, "process gemini.requests"); got.Parent.IsValid() || len(got.Links) > 0 {
			t.Errorf("parent is %v and links are %v, want a root", got.Parent, got.Links)
		}
	}
}

func TestPublishAndSettleSpans(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx, process := b.StartProcess(t.Context(), sampleProcess())
	publishCtx, publish := b.StartPublish(ctx, "gemini.responses.completed.{request_id}", "m-2")
	header := map[string][]string{}
	b.Inject(publishCtx, header)
	publish.End("", errors.New("no answer"))
	_, settle := b.StartSettle(ctx, "ack", "gemini.requests")
	settle.End("timeout", nil)
	process.End("", nil)

	parent := b.span(t, "process gemini.requests").SpanContext
	published := b.span(t, "publish gemini.responses.completed.{request_id}")
	if published.SpanKind != trace.SpanKindProducer || published.Parent.SpanID() != parent.SpanID() {
		t.Errorf("publish is a %v below %v, want a producer below %v", published.SpanKind, published.Parent, parent)
	}
	if want := published.SpanContext.SpanID().String(); !strings.Contains(Carrier(header).Get("traceparent"), want) {
		t.Errorf("headers are %v, want the publish span %s", header, want)
	}
	wantAttributes(t, published.Attributes, map[string]string{
		"messaging.system":               "nats",
		"messaging.operation.name":       "publish",
		"messaging.operation.type":       "send",
		"messaging.destination.template": "gemini.responses.completed.{request_id}",
		"messaging.message.id":           "m-2",
		"error.type":                     "_OTHER",
	})
	settled := b.span(t, "ack gemini.requests")
	if settled.SpanKind != trace.SpanKindClient || settled.Parent.SpanID() != parent.SpanID() {
		t.Errorf("ack is a %v below %v, want a client below %v", settled.SpanKind, settled.Parent, parent)
	}
	wantAttributes(t, settled.Attributes, map[string]string{
		"messaging.system":           "nats",
		"messaging.operation.name":   "ack",
		"messaging.operation.type":   "settle",
		"messaging.destination.name": "gemini.requests",
		"error.type":                 "timeout",
	})
}

func TestMessagingSpansNameTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	url := ""
	b.SetBroker(func() string { return url })
	ctx, process := b.StartProcess(t.Context(), sampleProcess())
	process.End("", nil)
	url = "nats://user:xxxxx@nats-1:4222"
	_, publish := b.StartPublish(ctx, "gemini.responses", "1")
	publish.End("", nil)
	_, settle := b.StartSettle(ctx, "ack", "gemini.requests")
	settle.End("", nil)
	for name, want := range map[string]string{"process gemini.requests": " ", "publish gemini.responses": "nats-1 4222", "ack gemini.requests": "nats-1 4222"} {
		attrs := attributesOf(b.span(t, name).Attributes)
		if got := attrs["server.address"] + " " + attrs["server.port"]; got != want {
			t.Errorf("%s took place at %q, want %q", name, got, want)
		}
	}
	if text := b.scrape(t, "text/plain"); strings.Contains(text, "nats-1") {
		t.Error("the server is a label of the metrics")
	}
}

func TestLogLinesInASpanCarryItsIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx, span := b.StartProcess(t.Context(), sampleProcess())
	b.Logger.InfoContext(ctx, "hello")
	span.End("", nil)
	want := "span_id=" + b.span(t, "process gemini.requests").SpanContext.SpanID().String()
	if !strings.Contains(b.log.String(), want) {
		t.Errorf("log is %q, want %s in it", b.log, want)
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	tests := []struct{ give, want string }{
		{"", ""},
		{" one line\nand another", "one line"},
		{strings.Repeat("a", maxDescription), strings.Repeat("a", maxDescription)},
		{strings.Repeat("a", maxDescription+1), strings.Repeat("a", maxDescription) + "…"},
		{"a" + strings.Repeat("é", maxDescription), "a" + strings.Repeat("é", maxDescription/2-1) + "…"},
		{strings.Repeat("a", maxDescription-20) + secretKey, strings.Repeat("a", maxDescription-20) + "sk-or-…cdef"},
	}
	for _, test := range tests {
		got := shorten(test.give)
		if got != test.want || !utf8.ValidString(got) {
			t.Errorf("shorten(%q) = %q, want %q", test.give, got, test.want)
		}
	}
}

func TestShortenEndsOnWhatIsNotText(t *testing.T) {
	t.Parallel()
	got := shorten("bad \xff " + strings.Repeat("a", maxDescription))
	if !utf8.ValidString(got) || !strings.HasPrefix(got, "bad ") || len(got) < maxDescription {
		t.Errorf("shorten = %q, want valid text, cut at its end only", got)
	}
}
