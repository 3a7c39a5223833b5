package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// newResource describes this process. The environment comes last, so that
// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win. The command line is left
// out: its arguments may hold secrets.
func newResource(ctx context.Context, version string, log *slog.Logger) *resource.Resource {
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithContainer(),
		resource.WithProcessRuntimeName(),
		resource.WithProcessRuntimeVersion(),
		resource.WithService(),
		resource.WithAttributes(semconv.ServiceName(ScopeName), semconv.ServiceVersion(version)),
		resource.WithFromEnv(),
	)
	if err != nil {
		log.WarnContext(ctx, "part of the telemetry resource is missing", "error", shorten(err.Error()))
	}
	return r
}

// startTraces gives t a tracer provider if spans are wanted anywhere; else the
// one that records nothing stays.
func (t *Telemetry) startTraces(ctx context.Context, c Config, s signal, r *resource.Resource) error {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(r)}
	var exporters []sdktrace.SpanExporter
	for _, name := range s.exporters {
		exporter, err := newSpanExporter(ctx, name, s.protocol)
		if err != nil {
			return fmt.Errorf("start span exporter %s: %w", name, err)
		}
		exporters = append(exporters, exporter)
		options = append(options, sdktrace.WithSpanProcessor(newCountedProcessor(cleanExporter{exporter}, s.queue, t.Instruments.lost)))
	}
	if c.SpanExporter != nil {
		options = append(options, sdktrace.WithSyncer(countedExporter{cleanExporter{c.SpanExporter}, &atomic.Int64{}, t.Instruments.lost}))
	}
	if len(options) == 1 {
		return nil
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.tracers, t.tracing, t.capture = provider, true, s.capture
	if s.capture {
		t.Logger.WarnContext(ctx, "prompts and answers are being recorded on spans", "because", captureVariable)
	}
	t.Tracer = provider.Tracer(ScopeName, trace.WithInstrumentationVersion(c.Version))
	t.stops = append(t.stops, func(ctx context.Context) error {
		err := provider.Shutdown(ctx)
		if ctx.Err() != nil {
			abandon(ctx, exporters)
		}
		return err
	})
	return nil
}

// abandon ends exports that are still in flight when the time to flush is over:
// the provider alone only stops waiting for them.
func abandon(ctx context.Context, exporters []sdktrace.SpanExporter) {
	for _, exporter := range exporters {
		_ = exporter.Shutdown(ctx)
	}
}

// startMetrics gives t a meter provider that /metrics reads, and the exporters
// that are wanted besides.
func (t *Telemetry) startMetrics(ctx context.Context, s signal, r *resource.Resource) error {
	registry := prometheus.NewRegistry()
	if err := registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
		return fmt.Errorf("register process metrics: %w", err)
	}
	reader, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("start prometheus exporter: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(r), sdkmetric.WithReader(reader), sdkmetric.WithCardinalityLimit(maxSeries)}
	for _, name := range s.exporters {
		if name == exporterPrometheus {
			continue
		}
		exporter, err := newMetricExporter(ctx, name, s.protocol)
		if err != nil {
			return fmt.Errorf("start metric exporter %s: %w", name, err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.meters = provider
	t.metrics = metricsHandler(registry, t.Logger)
	t.stops = append(t.stops, provider.Shutdown)
	if err := runtime.Start(runtime.WithMeterProvider(provider)); err != nil {
		return fmt.Errorf("start runtime metrics: %w", err)
	}
	return nil
}

// metricsHandler serves a registry. Exemplars exist in OpenMetrics only.
func metricsHandler(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	})
}
