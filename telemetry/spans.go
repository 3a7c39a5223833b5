package telemetry

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// maxDescription bounds error texts on spans and in our own log lines, in bytes.
const maxDescription = 200

// Span is a step of handling a message. It belongs to the goroutine that
// started it and must be ended.
type Span struct {
	span   trace.Span
	record func(errorType string, took time.Duration)
	start  time.Time
	once   sync.Once
}

// startSpan starts a span; record gets the metrics of its end.
func (t *Telemetry) startSpan(ctx context.Context, name string, record func(context.Context, string, time.Duration), options ...trace.SpanStartOption) (context.Context, *Span) {
	start := time.Now()
	ctx, span := t.begin(ctx, name, start, options...)
	return ctx, &Span{
		span:   span,
		start:  start,
		record: func(errorType string, took time.Duration) { record(ctx, errorType, took) },
	}
}

// begin starts a span whose beginning is also that of a measured duration.
func (t *Telemetry) begin(ctx context.Context, name string, start time.Time, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.Tracer.Start(ctx, name, append(options, trace.WithTimestamp(start))...) //nolint:spancheck // ended by Span.End or ChatSpan.End
}

// SetRequestID records the id of the request.
func (s *Span) SetRequestID(id string) {
	s.span.SetAttributes(keyRequestID.String(id), keyConversation.String(id))
}

// SetVerdict records the outcome of the request; code is empty unless it failed.
func (s *Span) SetVerdict(outcome fmt.Stringer, code string) {
	s.span.SetAttributes(keySpanVerdict.String(outcome.String()))
	if code != "" {
		s.span.SetAttributes(keySpanCode.String(code))
	}
}

// End ends the span and records its metrics. A step that failed has an
// errorType, a value of a small closed set, and an error, of which a short
// redacted text is kept; an error alone counts as "_OTHER". Only the first
// call counts, so End can also be deferred.
func (s *Span) End(errorType string, err error) {
	s.once.Do(func() {
		end := time.Now()
		s.record(markFailed(s.span, errorType, err), end.Sub(s.start))
		s.span.End(trace.WithTimestamp(end))
	})
}

// markFailed sets status and error.type of a span that failed and returns the
// latter, "" for one that did not.
func markFailed(span trace.Span, errorType string, err error) string {
	if errorType == "" && err == nil {
		return ""
	}
	if errorType == "" {
		errorType = errorTypeOther
	}
	description := ""
	if err != nil {
		description = shorten(err.Error())
	}
	span.SetAttributes(keyErrorType.String(errorType))
	span.SetStatus(codes.Error, description)
	return errorType
}

// shorten returns the first line of text, redacted and cut to maxDescription.
func shorten(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = clean(text)
	if len(text) <= maxDescription {
		return text
	}
	return strings.ToValidUTF8(text[:maxDescription], "") + "…"
}

// ProcessInfo describes a message a worker has taken.
type ProcessInfo struct {
	Destination    string // subject the consumer reads
	Consumer       string // durable name
	Stream         string
	MessageID      string // empty means <stream>:<stream sequence>
	StreamSequence uint64
	DeliveryCount  uint64
	RequestID      string // empty if not known yet, see Span.SetRequestID
}

func (p ProcessInfo) attributes() []attribute.KeyValue {
	id := p.MessageID
	if id == "" {
		id = p.Stream + ":" + strconv.FormatUint(p.StreamSequence, 10)
	}
	attrs := append(messaging(operationProcess, typeProcess, keyDestination.String(p.Destination)),
		keyConsumerGroup.String(p.Consumer),
		keyConsumer.String(p.Consumer),
		keyStream.String(p.Stream),
		keyStreamSequence.Int64(signed(p.StreamSequence)),
		keyDeliveryCount.Int64(signed(p.DeliveryCount)),
		keyMessageID.String(id),
	)
	if p.RequestID != "" {
		attrs = append(attrs, keyRequestID.String(p.RequestID), keyConversation.String(p.RequestID))
	}
	return attrs
}

// StartProcess starts the span of one delivery: below the trace context in ctx,
// which Extract put there, or, with Config.TraceLink, in a new trace linked to
// it. It counts the message as consumed; the span's end records the duration.
func (t *Telemetry) StartProcess(ctx context.Context, p ProcessInfo) (context.Context, *Span) {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(p.attributes()...),
		t.atBroker(),
	}
	if origin := trace.SpanContextFromContext(ctx); t.link && origin.IsValid() {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: origin}))
	}
	labels := []attribute.KeyValue{
		keySystem.String(systemNATS), keyOperation.String(operationProcess),
		keyDestination.String(p.Destination), keyConsumerGroup.String(p.Consumer),
	}
	record := func(ctx context.Context, errorType string, took time.Duration) {
		t.Instruments.processed(ctx, took, withError(labels, errorType))
	}
	ctx, span := t.startSpan(ctx, operationProcess+" "+p.Destination, record, options...)
	t.Instruments.consumed(ctx, labels)
	return ctx, span
}

// StartPublish starts the span of sending one message. The template stands for
// the subject without its ids: gemini.responses.completed.{request_id}. Inject
// the returned context into the message.
func (t *Telemetry) StartPublish(ctx context.Context, template, messageID string) (context.Context, *Span) {
	attrs := messaging(operationPublish, typeSend, keyTemplate.String(template))
	record := func(ctx context.Context, errorType string, took time.Duration) {
		labels := withError(attrs, errorType)
		t.Instruments.operated(ctx, took, labels)
		t.Instruments.sent(ctx, labels)
	}
	return t.startSpan(ctx, operationPublish+" "+template, record,
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attrs...),
		trace.WithAttributes(keyMessageID.String(messageID)),
		t.atBroker())
}

// StartSettle starts the span of settling a message: operation is ack, nak or
// term, destination the subject the message was read from.
func (t *Telemetry) StartSettle(ctx context.Context, operation, destination string) (context.Context, *Span) {
	attrs := messaging(operation, typeSettle, keyDestination.String(destination))
	record := func(ctx context.Context, errorType string, took time.Duration) {
		t.Instruments.operated(ctx, took, withError(attrs, errorType))
	}
	return t.startSpan(ctx, operation+" "+destination, record,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrs...),
		t.atBroker())
}

// SetBroker sets the source of the URL of the NATS server that we are connected
// to, "" while there is none. Messaging spans carry its host and port.
func (t *Telemetry) SetBroker(server func() string) {
	t.broker.Store(&server)
}

// atBroker adds the NATS server to the attributes of a messaging span.
func (t *Telemetry) atBroker() trace.SpanStartEventOption {
	var attrs []attribute.KeyValue
	if ask := t.broker.Load(); ask != nil {
		if at, err := url.Parse((*ask)()); err == nil && at.Hostname() != "" {
			attrs = append(attrs, keyServerAddress.String(at.Hostname()))
			if port, err := strconv.Atoi(at.Port()); err == nil {
				attrs = append(attrs, keyServerPort.Int(port))
			}
		}
	}
	return trace.WithAttributes(attrs...)
}

// messaging returns what all messaging spans and metrics have.
func messaging(operation, kind string, destination attribute.KeyValue) []attribute.KeyValue {
	return []attribute.KeyValue{
		keySystem.String(systemNATS), keyOperation.String(operation), keyOperationType.String(kind), destination,
	}
}

// withError returns labels and the error type, if there is one.
func withError(labels []attribute.KeyValue, errorType string) []attribute.KeyValue {
	if errorType == "" {
		return labels
	}
	return append(slices.Clip(labels), keyErrorType.String(errorType))
}

// signed returns n as OpenTelemetry has it.
func signed(n uint64) int64 {
	return int64(min(n, math.MaxInt64))
}
