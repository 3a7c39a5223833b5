package telemetry

import (
	"context"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Transport wraps base so that each HTTP request gets a span below the current
// one, named after its method, and counts in http.client.request.duration. The
// span ends with the response body: read it to its end or close it.
//
// No header is recorded, and no trace header is added: the other side is a
// third party. A nil base means http.DefaultTransport.
func (t *Telemetry) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return otelhttp.NewTransport(attemptTransport{base},
		otelhttp.WithTracerProvider(t.tracers),
		otelhttp.WithMeterProvider(t.meters),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }),
	)
}

type attemptKey struct{}

// WithAttempt returns a context for the given attempt of a call, counted from
// 1. The HTTP spans of all but the first carry http.request.resend_count.
func WithAttempt(ctx context.Context, attempt int) context.Context {
	return context.WithValue(ctx, attemptKey{}, attempt)
}

// attemptTransport runs inside the HTTP span and marks repetitions on it.
type attemptTransport struct {
	base http.RoundTripper
}

func (t attemptTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if attempt, ok := r.Context().Value(attemptKey{}).(int); ok && attempt > 1 {
		trace.SpanFromContext(r.Context()).SetAttributes(keyResendCount.Int(attempt - 1))
	}
	return t.base.RoundTrip(r)
}
