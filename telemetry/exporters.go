package telemetry

import (
	"context"
	"net/http"
	"net/url"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
)

// direct is the proxy function of our OTLP exporters: they use no proxy, whatever
// HTTP_PROXY is. They read everything else from the environment themselves.
func direct(*http.Request) (*url.URL, error) {
	return nil, nil //nolint:nilnil // how net/http spells "no proxy"
}

func newSpanExporter(ctx context.Context, name, protocol string) (sdktrace.SpanExporter, error) {
	switch {
	case name == exporterConsole:
		return stdouttrace.New()
	case protocol == protocolGRPC:
		return otlptracegrpc.New(ctx, otlptracegrpc.WithDialOption(grpc.WithNoProxy()))
	default:
		return otlptracehttp.New(ctx, otlptracehttp.WithProxy(direct))
	}
}

func newMetricExporter(ctx context.Context, name, protocol string) (sdkmetric.Exporter, error) {
	switch {
	case name == exporterConsole:
		return stdoutmetric.New()
	case protocol == protocolGRPC:
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithDialOption(grpc.WithNoProxy()))
	default:
		return otlpmetrichttp.New(ctx, otlpmetrichttp.WithProxy(direct))
	}
}
