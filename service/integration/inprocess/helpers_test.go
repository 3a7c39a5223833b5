package inprocess_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gemini-client/service"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// bench is everything around one test: a NATS server, an OpenRouter, a backend
// and the configuration that ties a service to them.
type bench struct {
	*servicetest.Backend
	t          testing.TB
	nats       *servicetest.NATS
	openrouter *servicetest.OpenRouter
	config     config.Config
	log        *servicetest.Buffer
	spans      *tracetest.InMemoryExporter
	replicas   []*replica
}

// Idle waits until everything is settled, and every running service reports it.
func (b *bench) Idle() {
	b.t.Helper()
	b.Backend.Idle()
	for _, r := range b.replicas {
		b.Until("nothing is in flight", func() (string, bool) {
			text, _ := r.get("/readyz?verbose")
			return text, !strings.Contains(text, `"in_flight":`) || strings.Contains(text, `"in_flight":0,`)
		})
	}
}

func setup(tb testing.TB, changes ...func(*config.Config)) *bench {
	tb.Helper()
	n := servicetest.RunNATS(tb)
	or := servicetest.RunOpenRouter(tb, simulator.Config{})
	return setupOn(tb, n, or, changes...)
}

func setupOn(tb testing.TB, n *servicetest.NATS, or *servicetest.OpenRouter, changes ...func(*config.Config)) *bench {
	tb.Helper()
	c := defaults(tb)
	c.APIKeys = []string{servicetest.Key}
	c.BaseURL = or.URL
	c.NATS.URL = n.URL
	c.HTTPAddr = ""
	c.AckWait = 3 * time.Second
	for _, change := range changes {
		change(&c)
	}
	return &bench{Backend: servicetest.NewBackend(tb, n), t: tb, nats: n, openrouter: or, config: c, log: &servicetest.Buffer{}, spans: tracetest.NewInMemoryExporter()}
}

// defaults is the configuration of an empty environment, without fallbacks: a test
// that is not about them sees what becomes of the model that it asks for.
func defaults(tb testing.TB) config.Config {
	tb.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		tb.Fatalf("the defaults do not load: %v", err)
	}
	c.FallbackModels = nil
	return c
}

// replica is one running service.
type replica struct {
	bench  *bench
	url    string // of its health and metrics
	cancel context.CancelFunc
	done   chan error
}

// start runs a service and waits until it is ready. It is stopped with the
// test.
func (b *bench) start() *replica {
	b.t.Helper()
	r := b.startUnready()
	r.waitReady()
	return r
}

func (b *bench) startUnready() *replica {
	b.t.Helper()
	config := b.config
	tel, err := telemetry.Setup(b.t.Context(), telemetry.Config{LogLevel: "DEBUG", LogFormat: "json", Output: b.log, SpanExporter: b.spans})
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := service.New(config, "test", tel)
	if err != nil {
		b.t.Fatalf("service: %v", err)
	}
	web := httptest.NewServer(s.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{bench: b, url: web.URL, cancel: cancel, done: make(chan error, 1)}
	b.replicas = append(b.replicas, r)
	go func() {
		r.done <- s.Run(ctx)
		close(r.done)
	}()
	b.t.Cleanup(func() {
		cancel()
		<-r.done
		web.Close()
		if err := tel.Shutdown(context.Background()); err != nil {
			b.t.Errorf("telemetry: %v", err)
		}
		if b.t.Failed() {
			b.t.Logf("the service's log:\n%s", b.log)
		}
	})
	return r
}

func (r *replica) waitReady() {
	r.bench.t.Helper()
	r.bench.Until("the service is ready", func() (string, bool) {
		return r.get("/readyz")
	})
}

// get returns a page and whether its status is 200.
func (r *replica) get(path string) (string, bool) {
	r.bench.t.Helper()
	request, err := http.NewRequestWithContext(r.bench.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.bench.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error(), false
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return err.Error(), false
	}
	return body.String(), response.StatusCode == http.StatusOK
}

// stop ends the service as SIGTERM does and returns what Run returned.
func (r *replica) stop() error {
	r.cancel()
	return <-r.done
}

// provision creates the streams before any service runs.
func (b *bench) provision() {
	b.t.Helper()
	topology := bus.NewTopology(b.config, b.NC.MaxPayload())
	if err := topology.Provision(b.Context(), b.JS); err != nil {
		b.t.Fatalf("provision: %v", err)
	}
}

// stream returns a stream's state.
func (b *bench) stream(name string) jetstream.StreamState { return b.State(name) }

// requestID reads the id of a body.
func requestID(tb testing.TB, body []byte) string {
	tb.Helper()
	var r struct {
		ID string `json:"request_id"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		tb.Fatal(err)
	}
	return r.ID
}
