package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a caller before the simulator, and what people see of it.
type bench struct {
	*upstream.Caller
	router *servicetest.OpenRouter
	log    *servicetest.Buffer
	spans  *tracetest.InMemoryExporter
}

func newBench(t *testing.T, simulated simulator.Config, change func(*config.Config)) bench {
	t.Helper()
	b := bench{router: servicetest.RunOpenRouter(t, simulated), log: &servicetest.Buffer{}, spans: tracetest.NewInMemoryExporter()}
	c := settings(t, b.router.URL)
	if change != nil {
		change(&c)
	}
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{LogLevel: "DEBUG", LogFormat: "json", Output: b.log, SpanExporter: b.spans})
	if err != nil {
		t.Fatal(err)
	}
	if b.Caller, err = upstream.New(c, tel); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func settings(tb testing.TB, url string) config.Config {
	tb.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		tb.Fatal(err)
	}
	c.APIKeys, c.BaseURL = config.List{servicetest.Key + "-1", servicetest.Key + "-2"}, url
	c.FallbackModels = nil // a test that wants one says so
	return c
}

func request(prompt string) events.Request {
	return events.Request{ID: servicetest.NewID(), Prompt: prompt, Model: "google/gemini-2.5-flash", Parameters: events.DefaultParameters()}
}

// refusing is an OpenRouter that answers everything with an error.
func refusing(t *testing.T, status int, message string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, status, message)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(servicetest.Patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited in vain")
		}
	}
}

// quiet is telemetry that nobody sees.
func quiet(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	return tel
}
