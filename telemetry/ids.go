package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// IDs returns the ids of the current span's trace and of the span, in hex; empty if
// there is no span.
func IDs(ctx context.Context) (traceID, spanID string) {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return "", ""
	}
	return span.TraceID().String(), span.SpanID().String()
}
