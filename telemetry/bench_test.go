package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// BenchmarkSpans has the spans of one request, and with them their metrics.
func BenchmarkSpans(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(collector.Close)
	for _, bb := range []struct{ name, endpoint, sampler string }{
		{"off", "", ""}, {"unsampled", collector.URL, "always_off"}, {"exported", collector.URL, "always_on"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", bb.endpoint)
			b.Setenv("OTEL_TRACES_SAMPLER", bb.sampler)
			tel := benchmarked(b)
			transport := tel.Transport(answering{})
			header := map[string][]string{"traceparent": {traceparent}}
			flush := func() {
				if tracers, ok := tel.tracers.(*sdktrace.TracerProvider); ok {
					if err := tracers.ForceFlush(context.Background()); err != nil {
						b.Error(err)
					}
				}
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if spansOfOne(tel, transport, header); n%100 == 0 { // a batch: nothing is lost, and all is paid for
					flush()
				}
			}
			b.StopTimer()
			if err := tel.Shutdown(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}

func spansOfOne(tel *Telemetry, transport http.RoundTripper, header map[string][]string) {
	ctx, process := tel.StartProcess(tel.Extract(context.Background(), header), sampleProcess())
	chatCtx, chat := tel.StartChat(ctx, sampleChat())
	chatCtx = WithAttempt(chatCtx, Attempt{Number: 1, Model: "google/gemini-2.5-flash"})
	r, _ := http.NewRequestWithContext(chatCtx, http.MethodPost, "https://openrouter.ai/api/v1/chat/completions", http.NoBody)
	response, _ := transport.RoundTrip(r)
	_ = response.Body.Close()
	chat.End(sampleResult())
	publishCtx, publish := tel.StartPublish(ctx, "gemini.responses.completed.{request_id}", requestID)
	tel.Inject(publishCtx, map[string][]string{})
	publish.End("", nil)
	_, ack := tel.StartSettle(ctx, "ack", "gemini.requests")
	ack.End("", nil)
	process.SetRequestID(requestID)
	process.SetVerdict(outcome("completed"), "")
	process.End("", nil)
}

// answering answers at once.
type answering struct{}

func (answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", Body: http.NoBody}, nil
}

func benchmarked(b *testing.B) *Telemetry {
	b.Helper()
	tel, err := Setup(b.Context(), Config{Output: io.Discard, LogFormat: "json"})
	if err != nil {
		b.Fatal(err)
	}
	return tel
}

// BenchmarkInstruments has what is counted of a request beside its spans.
func BenchmarkInstruments(b *testing.B) {
	i, ctx := benchmarked(b).Instruments, context.Background()
	b.ReportAllocs()
	for b.Loop() {
		i.InFlight(ctx, 1)
		i.CallFinished(ctx, "acme", OutcomeSuccess, "google/gemini-2.5-flash")
		i.Charged(ctx, "acme", "google/gemini-2.5-flash", 0.00063)
		i.RequestSettled(ctx, "acme", outcome("completed"), "", "google/gemini-2.5-flash")
		i.InFlight(ctx, -1)
	}
}

// BenchmarkLog has the line of a request, and one that nobody reads.
func BenchmarkLog(b *testing.B) {
	for _, bb := range []struct {
		name, format string
		level        slog.Level
	}{{"json", "json", slog.LevelInfo}, {"text", "text", slog.LevelInfo}, {"unread", "json", slog.LevelDebug}} {
		b.Run(bb.name, func(b *testing.B) {
			log, err := NewLogger(Config{Output: io.Discard, LogFormat: bb.format})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				ctx := WithLogAttrs(context.Background(), slog.String("request_id", requestID))
				log.LogAttrs(ctx, bb.level, "request completed",
					slog.String("verdict", "completed"), slog.String("model", "google/gemini-2.5-flash"), slog.Int("attempts", 1),
					slog.Int64("took_ms", 575), slog.Duration("wait", 1500*time.Millisecond), slog.Int("tokens_in", 100), slog.Int("tokens_out", 240), slog.Float64("cost", 0.00063))
			}
		})
	}
}

// BenchmarkExtract has messages without, and with, a trace.
func BenchmarkExtract(b *testing.B) {
	for name, header := range map[string]map[string][]string{
		"none": nil, "other": {"X-Team": {"a"}, "Nats-Msg-Id": {requestID}}, "trace": {"traceparent": {traceparent}},
	} {
		b.Run(name, func(b *testing.B) {
			tel := nop()
			b.ReportAllocs()
			for b.Loop() {
				tel.Extract(context.Background(), header)
			}
		})
	}
}
