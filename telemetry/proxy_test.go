package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// net/http reads HTTP_PROXY once in a process, so each case is a process: this
// test binary with childVariable set.
const (
	childVariable = "TELEMETRY_TEST_CHILD"
	childSetup    = "setup"        // what the program does
	childHTTP     = "default-http" // what the exporter does if left alone
	childGRPC     = "default-grpc"
)

func runChild(mode string) int {
	patience := 30 * time.Second // ended by the test
	if mode == childSetup {
		patience = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var exporter sdktrace.SpanExporter
	var err error
	switch mode {
	case childSetup:
		return runChildSetup(ctx)
	case childHTTP:
		exporter, err = otlptracehttp.New(ctx)
	case childGRPC:
		exporter, err = otlptracegrpc.New(ctx)
	default:
		err = errors.New("unknown mode " + mode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	_, span := provider.Tracer("child").Start(ctx, "child")
	span.End()
	_ = provider.Shutdown(ctx) // nobody answers
	return 0
}

func runChildSetup(ctx context.Context) int {
	tel, err := Setup(ctx, Config{Output: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, span := tel.StartPublish(ctx, "child", "1")
	span.End("", nil)
	_ = tel.Shutdown(ctx) // in most cases nobody answers
	return 0
}

// recorder notes what reaches an HTTP server.
type recorder struct {
	mu       sync.Mutex
	requests []string
	bodies   [][]byte
	onFirst  func() // if not nil, called when there is something to see
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	r.requests = append(r.requests, request.Method+" "+request.RequestURI)
	r.bodies = append(r.bodies, body)
	if len(r.requests) == 1 && r.onFirst != nil {
		r.onFirst()
	}
	r.mu.Unlock()
	if request.Method == http.MethodConnect {
		w.WriteHeader(http.StatusBadGateway)
	}
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

func (r *recorder) spanNames(t *testing.T) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, body := range r.bodies {
		var export coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &export); err != nil {
			t.Fatalf("what reached the collector is no export request: %v", err)
		}
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					names = append(names, span.GetName())
				}
			}
		}
	}
	return names
}

// runBehindProxy runs a child with a proxy in its environment, at most until the
// proxy sees something, and returns what that is.
func runBehindProxy(t *testing.T, mode string, variables ...string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	proxy := &recorder{onFirst: cancel}
	server := httptest.NewServer(proxy)
	defer server.Close()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+mode, "NO_PROXY=", "no_proxy=")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		child.Env = append(child.Env, name+"="+server.URL)
	}
	child.Env = append(child.Env, variables...)
	if output, err := child.CombinedOutput(); err != nil && ctx.Err() == nil {
		t.Fatalf("child %s: %v\n%s", mode, err, output)
	}
	return proxy.seen()
}

func TestExportsDoNotUseTheProxy(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.invalid:4318"
	const grpc, metrics = "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_METRICS_EXPORTER=otlp"
	tests := []struct {
		name      string
		mode      string
		variables []string
		want      bool
	}{
		{"http, left alone, would", childHTTP, []string{endpoint}, true},
		{"grpc, left alone, would", childGRPC, []string{endpoint}, true},
		{"http", childSetup, []string{endpoint}, false},
		{"http over TLS", childSetup, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.invalid:4318"}, false},
		{"grpc", childSetup, []string{endpoint, grpc}, false},
		{"http metrics", childSetup, []string{endpoint, metrics, "OTEL_TRACES_EXPORTER=none"}, false},
		{"grpc metrics", childSetup, []string{endpoint, metrics, "OTEL_TRACES_EXPORTER=none", grpc}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seen := runBehindProxy(t, test.mode, test.variables...)
			if got := len(seen) > 0; got != test.want {
				t.Errorf("the proxy saw %q, want something: %v", seen, test.want)
			}
		})
	}
}

// The counterpart: the spans do arrive, by the direct way.
func TestExportsReachTheCollectorDirectly(t *testing.T) {
	t.Parallel()
	collector := &recorder{}
	server := httptest.NewServer(collector)
	t.Cleanup(server.Close)

	seen := runBehindProxy(t, childSetup, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	if len(seen) > 0 {
		t.Errorf("the proxy saw %q, want nothing", seen)
	}
	if got := collector.spanNames(t); !slices.Equal(got, []string{"publish child"}) {
		t.Errorf("the collector received spans %q, want the child's", got)
	}
}
