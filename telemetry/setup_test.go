package telemetry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

func TestTracingIsOffUnlessConfigured(t *testing.T) {
	tests := []struct {
		name      string
		variables map[string]string
		want      bool
	}{
		{"nothing set", nil, false},
		{"none", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{"endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{"endpoint of traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, true},
		{"endpoint of metrics only", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, false},
		{"exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"disabled", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, false},
		{"not disabled", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "1"}, true},
		{"disabled in spite of nonsense", map[string]string{"OTEL_TRACES_EXPORTER": "nonsense", "OTEL_SDK_DISABLED": "true"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.variables {
				t.Setenv(name, value)
			}
			tel, err := Setup(t.Context(), Config{Output: &buffer{}})
			if err != nil {
				t.Fatal(err)
			}
			_, span := tel.Tracer.Start(t.Context(), "x")
			if got := span.IsRecording(); got != test.want {
				t.Errorf("a span is recorded: %v, want %v", got, test.want)
			}
			_ = tel.Shutdown(t.Context()) // the span was not ended: nothing to send
		})
	}
}

func TestContextPassesThroughWithTracingOff(t *testing.T) {
	for _, disabled := range []string{"false", "true"} {
		t.Setenv("OTEL_SDK_DISABLED", disabled)
		tel, err := Setup(t.Context(), Config{Output: &buffer{}, TraceLink: true})
		if err != nil {
			t.Fatal(err)
		}
		wantPassesThrough(t, tel)
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wantPassesThrough(t, nop())
}

func wantPassesThrough(t *testing.T, tel *Telemetry) {
	t.Helper()
	in := map[string][]string{"traceparent": {traceparent}}
	ctx, process := tel.StartProcess(tel.Extract(t.Context(), in), ProcessInfo{Destination: "gemini.requests"})
	ctx, publish := tel.StartPublish(ctx, "x", "1")
	out := map[string][]string{}
	tel.Inject(ctx, out)
	publish.End("", nil)
	process.End("", nil)
	if got := Carrier(out).Get("traceparent"); got != traceparent {
		t.Errorf("traceparent going out is %q, want the one that came in, %q", got, traceparent)
	}
}

func TestDisabledServesNoMetrics(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	b := setup(t, Config{})
	b.Instruments.SetSlots(t.Context(), 5)
	if got := b.scrape(t, openMetrics); strings.Contains(got, "gemini") {
		t.Errorf("metrics of a disabled SDK:\n%s", got)
	}
}

func TestSetupNamesWrongVariables(t *testing.T) {
	tests := []struct {
		variable, value string
		others          map[string]string
	}{
		{variable: "OTEL_TRACES_EXPORTER", value: "jaeger"},
		{variable: "OTEL_METRICS_EXPORTER", value: "statsd"},
		{variable: "OTEL_PROPAGATORS", value: "tracecontext,nonsense"},
		{variable: "OTEL_TRACES_SAMPLER", value: "sometimes"},
		{variable: "OTEL_TRACES_SAMPLER_ARG", value: "2", others: map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio"}},
		{variable: "OTEL_TRACES_SAMPLER_ARG", value: "NaN", others: map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio"}},
		{variable: "OTEL_EXPORTER_OTLP_PROTOCOL", value: "smoke", others: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}},
		{variable: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", value: "smoke", others: map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}},
		{variable: "OTEL_BSP_MAX_QUEUE_SIZE", value: "0"},
		{variable: "OTEL_BSP_MAX_QUEUE_SIZE", value: "-1"},
		{variable: "OTEL_BSP_MAX_QUEUE_SIZE", value: "many"},
		{variable: captureVariable, value: "event_only"},
		{variable: captureVariable, value: "yes"},
		{variable: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "collector:4318"},
		{variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value: "collector"},
		{variable: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "10.0.0.1:4317", others: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
	}
	for _, test := range tests {
		t.Run(test.variable+"="+test.value, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			for name, value := range test.others {
				t.Setenv(name, value)
			}
			_, err := Setup(t.Context(), Config{})
			if err == nil || !strings.Contains(err.Error(), test.variable+":") {
				t.Errorf("error is %v, want one that names %s", err, test.variable)
			}
			if test.variable == captureVariable && (!strings.Contains(err.Error(), test.value) || !strings.Contains(err.Error(), "span_only")) {
				t.Errorf("error is %v, want the value and what is allowed", err)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "jaeger")
	t.Setenv("OTEL_METRICS_EXPORTER", "statsd")
	t.Setenv("OTEL_PROPAGATORS", "nonsense")
	c := Config{LogLevel: "LOUD", LogFormat: "xml"}
	_, setupErr := Setup(t.Context(), c)
	for _, err := range []error{setupErr, c.Validate()} {
		for _, name := range []string{"LOG_LEVEL", "LOG_FORMAT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_PROPAGATORS"} {
			if err == nil || !strings.Contains(err.Error(), name+":") {
				t.Errorf("error is %v, want it to name %s too", err, name)
			}
		}
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("Validate saw nothing wrong with the environment")
	}
}

func TestResource(t *testing.T) {
	b := setup(t, Config{Version: "1.2.3"})
	_, span := b.StartPublish(t.Context(), "x", "1")
	span.End("", nil)
	got := attributesOf(b.span(t, "publish x").Resource.Attributes())
	if got["service.name"] != "gemini-client" || got["service.version"] != "1.2.3" || got["service.instance.id"] == "" {
		t.Errorf("resource is %v, want name, version and instance of the service", got)
	}
	for key := range got {
		if strings.HasPrefix(key, "process.") && !strings.HasPrefix(key, "process.runtime.") {
			t.Errorf("resource has %s, which may hold secrets", key)
		}
	}
}

func TestEnvironmentWinsInTheResource(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "blue")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,team=llm")
	b := setup(t, Config{Version: "1.2.3"})
	_, span := b.StartPublish(t.Context(), "x", "1")
	span.End("", nil)
	got := attributesOf(b.span(t, "publish x").Resource.Attributes())
	if got["service.name"] != "blue" || got["service.version"] != "9" || got["team"] != "llm" {
		t.Errorf("resource is %v, want what the environment says", got)
	}
}

type grpcCollector struct {
	coltrace.UnimplementedTraceServiceServer
	received chan *coltrace.ExportTraceServiceRequest
}

func (c grpcCollector) Export(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	c.received <- r
	return &coltrace.ExportTraceServiceResponse{}, nil
}

// runGRPCCollector starts one that ends with the test, and sets the variables that lead
// there.
func runGRPCCollector(t *testing.T) grpcCollector {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	collector := grpcCollector{received: make(chan *coltrace.ExportTraceServiceRequest, 1)}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, collector)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-served })
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	return collector
}

func TestExportOverGRPC(t *testing.T) {
	collector := runGRPCCollector(t)
	tel, err := Setup(t.Context(), Config{Output: &buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.StartSettle(t.Context(), "ack", "gemini.requests")
	span.End("", nil)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := (<-collector.received).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
	if len(spans) != 1 || spans[0].GetName() != "ack gemini.requests" {
		t.Errorf("the collector received %v, want the one span", spans)
	}
}

func TestHangingCollectorCostsOnlySpans(t *testing.T) {
	for _, signal := range []string{"TRACES", "METRICS"} {
		t.Run(signal, func(t *testing.T) {
			release := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
			t.Cleanup(server.Close)
			t.Cleanup(func() { close(release) })
			t.Setenv("OTEL_"+signal+"_EXPORTER", "otlp")
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
			wantHarmless(t)
		})
	}
}

func TestDeadCollectorCostsOnlySpans(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			wantHarmless(t)
		})
	}
}

// wantHarmless fills the queue many times over and stops. A collector that is
// asked even once would cost its timeout of ten seconds.
func wantHarmless(t *testing.T) {
	t.Helper()
	const patience = 8 * time.Second
	begin := time.Now()
	tel, err := Setup(t.Context(), Config{Output: &buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		_, span := tel.StartPublish(t.Context(), "x", "1")
		span.End("", nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want nothing or the deadline", err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("it took %v, want less than %v", took, patience)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Errorf("second Shutdown: %v, want nothing", err)
	}
}
