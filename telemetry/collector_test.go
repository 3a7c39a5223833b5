package telemetry

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCollectors(t *testing.T) {
	if all, err := Collectors(); err != nil || len(all) != 0 {
		t.Errorf("nothing set: %v, %v", all, err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@collector:4318")
	t.Setenv("OTEL_METRICS_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://other:4317")
	all, err := Collectors()
	if err != nil || len(all) != 2 || all[0] != (Collector{"traces", "http/protobuf", "http://****@collector:4318"}) || all[1] != (Collector{"metrics", "grpc", "https://other:4317"}) {
		t.Errorf("got %v, %v", all, err)
	}
	t.Setenv("OTEL_TRACES_SAMPLER", "x")
	if _, err := Collectors(); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER") {
		t.Errorf("a wrong variable: %v", err)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if all, err := Collectors(); err != nil || len(all) != 0 {
		t.Errorf("disabled: %v, %v", all, err)
	}
}

// An export with nothing in it goes where spans and metrics go, with their headers.
func TestTryCollector(t *testing.T) {
	asked := make(chan *http.Request, 1)
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.WriteHeader(status)
		_, _ = w.Write([]byte("sk-or-v1-0123456789abcdef is no token"))
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=abc")
	for _, signal := range []string{"traces", "metrics"} {
		for _, status = range []int{http.StatusOK, http.StatusForbidden, http.StatusServiceUnavailable} {
			err := Collector{Signal: signal, Protocol: protocolHTTP}.Try(t.Context())
			r := <-asked
			if r.URL.Path != "/v1/"+signal || r.Header.Get("Authorization") != "abc" {
				t.Errorf("%s was asked with %v", r.URL.Path, r.Header)
			}
			if (err == nil) != (status == http.StatusOK) || err != nil && strings.Contains(err.Error(), "0123456789") {
				t.Errorf("%s, %d: %v", signal, status, err)
			}
		}
	}
}

// What a collector gets over gRPC has no span in it.
func TestTryCollectorOverGRPC(t *testing.T) {
	collector := runGRPCCollector(t)
	if err := (Collector{Signal: "traces", Protocol: protocolGRPC}).Try(t.Context()); err != nil {
		t.Fatal(err)
	}
	if spans := (<-collector.received).GetResourceSpans(); len(spans) != 0 {
		t.Errorf("the collector received %v, want nothing", spans)
	}
}

// One that hangs, or is away, costs no more than the time that ctx allows.
func TestTryCollectorThatIsAway(t *testing.T) {
	hangs, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangs.Close() })
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		for name, address := range map[string]string{"hangs": hangs.Addr().String(), "away": "127.0.0.1:1"} {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
			for _, signal := range []string{"traces", "metrics"} {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				if err := (Collector{Signal: signal, Protocol: protocol}).Try(ctx); err == nil {
					t.Errorf("%s, %s, %s: no error", name, protocol, signal)
				}
				cancel()
			}
		}
	}
}
