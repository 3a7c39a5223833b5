package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// Config is what the program decides. What the operator decides about traces
// and metrics comes from the OTEL_* variables, see the package comment.
type Config struct {
	// Version of the program: service.version.
	Version string
	// LogLevel is DEBUG, INFO, WARN or WARNING, ERROR or CRITICAL, in any case.
	// Empty means INFO.
	LogLevel string
	// LogFormat is text or json. Empty means text.
	LogFormat string
	// Output receives the log. Nil means standard output.
	Output io.Writer
	// TraceLink processes each message in a trace of its own that links to the
	// publisher's, instead of inside the publisher's trace.
	TraceLink bool
	// SpanExporter, for tests and for programs that embed the service, receives
	// each span as it ends, in addition to the exporters the environment names.
	SpanExporter sdktrace.SpanExporter
}

// Validate reports everything Setup would refuse, each problem with the name of
// its variable, and starts nothing.
func (c Config) Validate() error {
	_, logErr := NewLogger(c)
	_, envErr := readEnvironment()
	return errors.Join(logErr, envErr)
}

// Telemetry writes logs, spans and metrics. It is safe for concurrent use. The
// zero value cannot be used: call Setup.
type Telemetry struct {
	// Logger adds the trace ids and attributes of the context to each line. Use
	// its ...Context methods.
	Logger *slog.Logger
	// Tracer starts spans for which there is no method here.
	Tracer trace.Tracer
	// Instruments holds the metrics.
	Instruments *Instruments

	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	metrics    http.Handler
	tracing    bool // somebody wants spans
	link       bool
	capture    bool // record prompts and answers
	steps      cache[stepKey, *step]
	broker     atomic.Pointer[func() string]
	brokers    cache[string, []attribute.KeyValue]
	stopOnce   sync.Once
	stops      []func(context.Context) error
}

// Setup starts telemetry. It does not wait for a collector, which may start
// later. It also takes over OpenTelemetry's process-wide error handler; it sets
// no global provider.
//
// Its error names every variable whose value is wrong; after an error nothing
// is left running.
func Setup(ctx context.Context, c Config) (*Telemetry, error) {
	log, logErr := NewLogger(c)
	env, envErr := readEnvironment()
	if err := errors.Join(logErr, envErr); err != nil {
		return nil, err
	}
	reportTo(log)
	t := newTelemetry(log, env.propagator)
	t.link = c.TraceLink
	if getenv("OTEL_LOGS_EXPORTER") == exporterOTLP {
		log.WarnContext(ctx, "OTEL_LOGS_EXPORTER is ignored: logs are written to standard output only")
	}
	if env.disabled {
		return t, nil
	}
	if err := t.start(ctx, c, env); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	return t, nil
}

// TracerProvider makes spans of other libraries.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.tracers }

// newTelemetry returns a Telemetry without spans and metrics.
func newTelemetry(log *slog.Logger, propagator propagation.TextMapPropagator) *Telemetry {
	tracers, meters := nooptrace.NewTracerProvider(), noopmetric.NewMeterProvider()
	instruments, _ := newInstruments(meters.Meter(ScopeName)) // a no-op meter returns no error
	return &Telemetry{
		Logger:      log,
		Tracer:      tracers.Tracer(ScopeName),
		Instruments: instruments,
		tracers:     tracers,
		meters:      meters,
		propagator:  propagator,
		metrics:     metricsHandler(prometheus.NewRegistry(), log),
	}
}

func (t *Telemetry) start(ctx context.Context, c Config, env environment) error {
	resource := newResource(ctx, c.Version, t.Logger)
	if err := t.startMetrics(ctx, env.metrics, resource); err != nil {
		return err
	}
	instruments, err := newInstruments(t.meters.Meter(ScopeName, metric.WithInstrumentationVersion(c.Version)))
	if err != nil {
		return err
	}
	t.Instruments = instruments
	return t.startTraces(ctx, c, env.traces, resource) // after the instruments: they count lost spans
}

// MetricsHandler serves all metrics in Prometheus' formats, with exemplars for
// those who ask for OpenMetrics.
func (t *Telemetry) MetricsHandler() http.Handler {
	return t.metrics
}

// Shutdown flushes spans and metrics and stops everything Setup started. It
// returns when that is done or ctx is, whichever comes first; what has not been
// flushed by then is lost. Give it a context of its own with a deadline: the one
// that ended the program is over already. Later calls do nothing.
//
// An error means lost telemetry, never lost work.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var err error
	t.stopOnce.Do(func() { err = stopAll(ctx, t.stops) })
	return err
}

// stopAll stops all at the same time, so that one that hangs does not use up
// the time of the others.
func stopAll(ctx context.Context, stops []func(context.Context) error) error {
	errs := make([]error, len(stops))
	var wg sync.WaitGroup
	for i, stop := range stops {
		wg.Go(func() { errs[i] = stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
