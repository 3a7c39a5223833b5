package client

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// carrier is a message's headers for a propagator. Their names are in lower case, as W3C
// writes them and as the service reads them.
type carrier nats.Header

func (c carrier) Get(key string) string { return nats.Header(c).Get(key) }

func (c carrier) Set(key, value string) { c[key] = []string{value} }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// startPublish opens the span of a publish, by OpenTelemetry's conventions for messaging,
// and puts its context into the message. The caller calls end.
func (c *Client) startPublish(ctx context.Context, m *nats.Msg, id string) (context.Context, func(error)) {
	ctx, span := c.tracer.Start(ctx, "send "+m.Subject, //nolint:spancheck // end ends it
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.operation.name", "publish"),
			attribute.String("messaging.destination.name", m.Subject),
			attribute.String("messaging.message.id", id),
		))
	c.propagator.Inject(ctx, carrier(m.Header))
	return ctx, func(err error) { //nolint:spancheck // end ends it
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
