package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// exporter does with each batch what a test wants.
type exporter struct {
	export func(ctx context.Context, n int) error
}

func (e exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return e.export(ctx, len(spans))
}
func (exporter) Shutdown(context.Context) error { return nil }

// losses adds up what was lost, by reason.
type losses struct{ full, failed atomic.Int64 }

func (l *losses) add(n int, reason string) {
	if reason == lostQueueFull {
		l.full.Add(int64(n))
	} else {
		l.failed.Add(int64(n))
	}
}

// endSpans ends n spans from several goroutines.
func endSpans(tracers *sdktrace.TracerProvider, n int) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				_, span := tracers.Tracer("test").Start(context.Background(), "x")
				span.End()
			}
		})
	}
	wg.Wait()
}

// Every span is either received or counted, whatever the exporter does.
func TestLostSpansAreCountedExactly(t *testing.T) {
	t.Parallel()
	const spans, queue = 8000, 100
	release := make(chan struct{})
	tests := []struct {
		name   string
		export func(ctx context.Context, received *atomic.Int64, n int) error
		failed bool // every batch that is taken is lost
	}{
		{"hangs until all have ended", func(_ context.Context, received *atomic.Int64, n int) error {
			<-release
			received.Add(int64(n))
			return nil
		}, false},
		{"is slow", func(_ context.Context, received *atomic.Int64, n int) error {
			for range 100_000 { // some work
				received.Load()
			}
			received.Add(int64(n))
			return nil
		}, false},
		{"fails", func(context.Context, *atomic.Int64, int) error { return errors.New("away") }, true},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var lost losses
			var received atomic.Int64
			p := newCountedProcessor(exporter{func(ctx context.Context, n int) error { return test.export(ctx, &received, n) }}, queue, lost.add)
			tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p))
			endSpans(tracers, spans) // with an exporter that hangs, this returns only if nothing blocks
			if i == 0 {
				if most := int64(2 * queue); spans-lost.full.Load() > most {
					t.Errorf("%d spans are on their way, want at most a queue and a batch, %d", spans-lost.full.Load(), most)
				}
				close(release)
			}
			if err := tracers.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if p.onTheWay.Load() != 0 {
				t.Errorf("after the flush %d spans are on their way", p.onTheWay.Load())
			}
			if got := received.Load() + lost.full.Load() + lost.failed.Load(); got != spans {
				t.Errorf("%d received, %d refused, %d failed: of %d spans %d are missing", received.Load(), lost.full.Load(), lost.failed.Load(), spans, spans-got)
			}
			if test.failed != (received.Load() == 0) || test.failed != (lost.failed.Load() > 0) {
				t.Errorf("%d received, %d failed", received.Load(), lost.failed.Load())
			}
		})
	}
}

func TestUnsampledSpansAreNotLost(t *testing.T) {
	t.Parallel()
	var lost losses
	p := newCountedProcessor(exporter{func(context.Context, int) error { return errors.New("away") }}, 1, lost.add)
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(recordOnly{}), sdktrace.WithSpanProcessor(p))
	endSpans(tracers, 80)
	if err := tracers.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if lost.full.Load()+lost.failed.Load() != 0 {
		t.Error("spans that nobody wanted are counted as lost")
	}
}

type recordOnly struct{}

func (recordOnly) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: sdktrace.RecordOnly}
}
func (recordOnly) Description() string { return "recordOnly" }

func TestShutdownSaysHowManySpansWereLeft(t *testing.T) {
	t.Parallel()
	var lost losses
	release := make(chan struct{})
	p := newCountedProcessor(exporter{func(context.Context, int) error { <-release; return nil }}, 16, lost.add)
	endSpans(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p)), 160)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Shutdown(ctx)
	if !errors.Is(err, context.Canceled) || !regexp.MustCompile(`\d+ spans were not sent`).MatchString(fmt.Sprint(err)) {
		t.Errorf("Shutdown: %v, want how many spans were not sent", err)
	}
	close(release)
}

// lostSpans reads the counter as a scrape has it.
func lostSpans(t *testing.T, b bundle, reason string) int {
	t.Helper()
	match := regexp.MustCompile(`gemini_spans_lost_total\{reason="` + reason + `"\} (\d+)`).FindStringSubmatch(b.scrape(t, "text/plain"))
	if match == nil {
		t.Fatalf("no count of spans lost by %s", reason)
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a collector refuses of a batch is counted, and no more.
func TestLostSpansOfCollectors(t *testing.T) {
	answer := func(n int64, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			body, _ := proto.Marshal(&coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: n, ErrorMessage: text}})
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write(body)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    int
	}{
		{"takes all", func(http.ResponseWriter, *http.Request) {}, 0},
		{"takes all and warns", answer(0, "slow down"), 0},
		{"refuses three", answer(3, "too old"), 3},
		{"refuses more than there are", answer(1000, ""), 8},
		{"refuses", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, 8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			t.Cleanup(server.Close)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
			b := setup(t, Config{})
			t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
			endSpans(b.tracers.(*sdktrace.TracerProvider), 8)
			if err := b.tracers.(*sdktrace.TracerProvider).ForceFlush(t.Context()); (err != nil) != (test.want > 0) && test.name != "takes all and warns" {
				t.Errorf("flush: %v", err)
			}
			if got := lostSpans(t, b, lostExportFailed); got != test.want {
				t.Errorf("%d spans are counted as lost, want %d", got, test.want)
			}
			if got := lostSpans(t, b, lostQueueFull); got != 0 {
				t.Errorf("%d spans are counted as refused", got)
			}
		})
	}
}

func TestQueueSizeFromTheEnvironment(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	b := setup(t, Config{})
	t.Cleanup(func() {
		close(release)
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	endSpans(b.tracers.(*sdktrace.TracerProvider), 80)
	if got := lostSpans(t, b, lostQueueFull); got < 60 || got > 70 {
		t.Errorf("%d of 80 spans are counted as refused, want all but a queue of 10 and a batch of as many", got)
	}
}
