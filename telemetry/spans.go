package telemetry

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// maxDescription bounds error texts on spans and in our own log lines, in bytes.
const maxDescription = 200

// Span is a step of handling a message. It must be ended.
type Span struct {
	span        trace.Span
	step        *step
	instruments *Instruments
	start       time.Time
	attrs       []attribute.KeyValue // set as it ends, all at once; nil if nobody records it
	ended       atomic.Bool
}

// startSpan starts the span of a step. The attributes that are its own are asked for
// only if it is recorded.
func (t *Telemetry) startSpan(ctx context.Context, step *step, link bool, own func(attrs []attribute.KeyValue) []attribute.KeyValue) (context.Context, *Span) {
	s := &Span{step: step, instruments: t.Instruments, start: time.Now()}
	ctx, s.span = t.begin(ctx, spanStart{name: step.name, kind: step.kind, at: s.start, link: link})
	if s.span.IsRecording() {
		s.attrs = append(make([]attribute.KeyValue, 0, len(step.attrs)+step.room), step.attrs...)
		s.attrs = append(own(s.attrs), t.atBroker()...)
	}
	return ctx, s
}

// spanStart is how a span begins.
type spanStart struct {
	name string
	kind trace.SpanKind
	at   time.Time // the beginning of a measured duration as well
	link bool      // to the span in the context, in a trace of its own

	attrs []attribute.KeyValue // that a sampler may ask for
}

// begin starts a span. Without tracing the context stays as it is, with the span that
// the message came from.
func (t *Telemetry) begin(ctx context.Context, s spanStart) (context.Context, trace.Span) {
	if origin := trace.SpanFromContext(ctx); !t.tracing && !origin.IsRecording() {
		return ctx, origin
	}
	options := append(make([]trace.SpanStartOption, 0, 5), trace.WithSpanKind(s.kind), trace.WithTimestamp(s.at))
	if len(s.attrs) > 0 {
		options = append(options, trace.WithAttributes(s.attrs...))
	}
	if origin := trace.SpanContextFromContext(ctx); s.link && origin.IsValid() {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: origin}))
	}
	return t.Tracer.Start(ctx, s.name, options...) //nolint:spancheck // ended by Span.End, ChatSpan.End or a response
}

// add notes attributes for the end of the span.
func (s *Span) add(attrs ...attribute.KeyValue) {
	if s.attrs != nil {
		s.attrs = append(s.attrs, attrs...)
	}
}

// SetRequestID records the id of the request.
func (s *Span) SetRequestID(id string) {
	s.add(keyRequestID.String(id), keyConversation.String(id))
}

// SetVerdict records the outcome of the request; code is empty unless it failed.
func (s *Span) SetVerdict(outcome fmt.Stringer, code string) {
	s.add(keySpanVerdict.String(outcome.String()))
	if code != "" {
		s.add(keySpanCode.String(code))
	}
}

// End ends the span and records its metrics. A step that failed has an
// errorType, a value of a small closed set, and an error, of which a short
// redacted text is kept; an error alone counts as "_OTHER". Only the first
// call counts, so End can also be deferred.
func (s *Span) End(errorType string, err error) {
	if s.ended.Swap(true) {
		return
	}
	end := time.Now()
	if errorType == "" && err != nil {
		errorType = errorTypeOther
	}
	s.step.ended(forExemplar(s.span), s.instruments, errorType, end.Sub(s.start))
	if s.attrs != nil {
		s.span.SetAttributes(s.attrs...)
		markFailed(s.span, errorType, err)
		s.span.End(trace.WithTimestamp(end))
	}
}

// forExemplar is the context that metrics of a span are recorded with: they lead to it
// if it is sampled.
func forExemplar(span trace.Span) context.Context {
	if !span.SpanContext().IsSampled() {
		return context.Background()
	}
	return trace.ContextWithSpan(context.Background(), span)
}

// markFailed sets status and error.type of a span if it failed.
func markFailed(span trace.Span, errorType string, err error) {
	if errorType == "" {
		return
	}
	description := ""
	if err != nil {
		description = shorten(err.Error())
	}
	span.SetAttributes(keyErrorType.String(errorType))
	span.SetStatus(codes.Error, description)
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
	Tenant         string // whose request it is

	Stored, Taken time.Time // when its queue stored it, and when this worker took it
}

func (p ProcessInfo) attributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	id := p.MessageID
	if id == "" {
		id = p.Stream + ":" + strconv.FormatUint(p.StreamSequence, 10)
	}
	attrs = append(attrs,
		keyStream.String(p.Stream),
		keyStreamSequence.Int64(signed(p.StreamSequence)),
		keyDeliveryCount.Int64(signed(p.DeliveryCount)),
		keyMessageID.String(id),
	)
	attrs = append(attrs, tenantOf(p.Tenant)...)
	if p.RequestID != "" {
		attrs = append(attrs, keyRequestID.String(p.RequestID), keyConversation.String(p.RequestID))
	}
	return attrs
}

// StartProcess starts the span of one delivery: below the trace context in ctx,
// which Extract put there, or, with Config.TraceLink, in a new trace linked to
// it. It counts the message as consumed and records how long that waited; the span's
// end records the duration.
func (t *Telemetry) StartProcess(ctx context.Context, p ProcessInfo) (context.Context, *Span) {
	ctx, span := t.startSpan(ctx, t.steps.get(stepKey{operationProcess, p.Destination, p.Consumer}, newStep), t.link, p.attributes)
	exemplar, l := forExemplar(span.span), span.step.labels("")
	t.Instruments.consumedCount.Add(exemplar, 1, l.add...)
	t.Instruments.queueWait.Record(exemplar, max(0, p.Taken.Sub(p.Stored).Seconds()), l.record...)
	return ctx, span
}

// StartPublish starts the span of sending one message. The template stands for
// the subject without its ids: gemini.responses.completed.{request_id}. Inject
// the returned context into the message.
func (t *Telemetry) StartPublish(ctx context.Context, template, messageID string) (context.Context, *Span) {
	return t.startSpan(ctx, t.steps.get(stepKey{operationPublish, template, ""}, newStep), false, func(attrs []attribute.KeyValue) []attribute.KeyValue {
		return append(attrs, keyMessageID.String(messageID))
	})
}

// StartSettle starts the span of settling a message: operation is ack, nak or
// term, destination the subject the message was read from.
func (t *Telemetry) StartSettle(ctx context.Context, operation, destination string) (context.Context, *Span) {
	return t.startSpan(ctx, t.steps.get(stepKey{operation, destination, ""}, newStep), false, func(attrs []attribute.KeyValue) []attribute.KeyValue {
		return attrs
	})
}

// signed returns n as OpenTelemetry has it.
func signed(n uint64) int64 {
	return int64(min(n, math.MaxInt64))
}
