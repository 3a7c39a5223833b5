package telemetry

import (
	"bytes"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childVariable); mode != "" {
		os.Exit(runChild(mode))
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	// As a program around ours might: nothing here may depend on it.
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	goleak.VerifyTestMain(m)
}

// bundle is a Telemetry whose spans and log lines a test can read.
type bundle struct {
	*Telemetry
	spans *tracetest.InMemoryExporter
	log   *buffer
}

func setup(t *testing.T, c Config) bundle {
	t.Helper()
	b := bundle{spans: tracetest.NewInMemoryExporter(), log: &buffer{}}
	c.SpanExporter = b.spans
	if c.Output == nil {
		c.Output = b.log
	}
	tel, err := Setup(t.Context(), c)
	if err != nil {
		t.Fatalf("Setup: %v", err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	b.Telemetry = tel
	return b
}

// span returns the only span of that name.
func (b bundle) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	var names []string
	for _, s := range b.spans.GetSpans() {
		names = append(names, s.Name)
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans are named %q, want 1; there are %q", len(found), name, names)
	}
	return found[0]
}

func (b bundle) scrape(t *testing.T, accept string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	b.MetricsHandler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

const openMetrics = "application/openmetrics-text; version=1.0.0"

// attributesOf returns attributes as text, by key.
func attributesOf(attrs []attribute.KeyValue) map[string]string {
	texts := make(map[string]string, len(attrs))
	for _, a := range attrs {
		texts[string(a.Key)] = a.Value.String()
	}
	return texts
}

func wantAttributes(t *testing.T, got []attribute.KeyValue, want map[string]string) {
	t.Helper()
	texts := attributesOf(got)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if texts[key] != want[key] {
			t.Errorf("attribute %s = %q, want %q", key, texts[key], want[key])
		}
		delete(texts, key)
	}
	if len(texts) > 0 {
		t.Errorf("attributes nobody asked for: %v", texts)
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*buffer)(nil)

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// outcome is what became of a delivery, as a caller names it.
type outcome string

func (o outcome) String() string { return string(o) }

// nop drops everything and only passes trace context on.
func nop() *Telemetry {
	return newTelemetry(slog.New(slog.DiscardHandler),
		propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
}
