package telemetry

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// stepKey tells one step of handling a message from another. Destinations are the
// queues and callbacks of the configuration, so there are few.
type stepKey struct{ operation, destination, group string }

// step is what all spans of a step share, made once.
type step struct {
	name    string
	kind    trace.SpanKind
	attrs   []attribute.KeyValue // of its spans
	room    int                  // for those that each has of its own, mostly
	common  []attribute.KeyValue // labels of its metrics
	records func(i *Instruments, ctx context.Context, took time.Duration, l labels)
	byError cache[string, labels]
}

func newStep(k stepKey) *step {
	s := &step{name: k.operation + " " + k.destination}
	switch k.operation {
	case operationProcess:
		s.kind, s.room, s.records = trace.SpanKindConsumer, 10, (*Instruments).processed
		s.attrs = append(messaging(operationProcess, typeProcess, keyDestination.String(k.destination)), keyConsumerGroup.String(k.group), keyConsumer.String(k.group))
		s.common = []attribute.KeyValue{keySystem.String(systemNATS), keyOperation.String(operationProcess), keyDestination.String(k.destination), keyConsumerGroup.String(k.group)}
		return s
	case operationPublish:
		s.kind, s.room, s.records = trace.SpanKindProducer, 3, (*Instruments).published
		s.attrs = messaging(operationPublish, typeSend, keyTemplate.String(k.destination))
	default:
		s.kind, s.room, s.records = trace.SpanKindClient, 2, (*Instruments).settled
		s.attrs = messaging(k.operation, typeSettle, keyDestination.String(k.destination))
	}
	s.common = s.attrs
	return s
}

// labels are those of the step's metrics, where it ended with a type of error.
func (s *step) labels(errorType string) labels {
	return s.byError.get(errorType, func(errorType string) labels { return newLabels(withError(s.common, errorType)...) })
}

func (s *step) ended(ctx context.Context, i *Instruments, errorType string, took time.Duration) {
	s.records(i, ctx, took, s.labels(errorType))
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

// SetBroker sets the source of the URL of the NATS server that we are connected
// to, "" while there is none. Messaging spans carry its host and port.
func (t *Telemetry) SetBroker(server func() string) {
	t.broker.Store(&server)
}

// atBroker is the NATS server as attributes of a messaging span.
func (t *Telemetry) atBroker() []attribute.KeyValue {
	if ask := t.broker.Load(); ask != nil {
		return t.brokers.get((*ask)(), brokerAttributes)
	}
	return nil
}

func brokerAttributes(server string) []attribute.KeyValue {
	at, err := url.Parse(server)
	if err != nil || at.Hostname() == "" {
		return nil
	}
	attrs := []attribute.KeyValue{keyServerAddress.String(at.Hostname())}
	if port, err := strconv.Atoi(at.Port()); err == nil {
		attrs = append(attrs, keyServerPort.Int(port))
	}
	return attrs
}
