package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// newService is a service whose OpenRouter refuses connections.
func newService(t *testing.T, change func(*config.Config)) *Service {
	t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	c.APIKeys, c.BaseURL = config.List{"sk-or-test"}, "http://127.0.0.1:1"
	if change != nil {
		change(&c)
	}
	s, err := New(c, "v1", quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs a service on a fake bus.
func serve(ctx context.Context, s *Service, b *fakeBus) (done chan error, h *handler) {
	h = s.newHandler(b, 1<<20, 64<<20)
	done = make(chan error, 1)
	go func() { done <- s.serve(ctx, b, h) }()
	return done, h
}

func TestStopsWhenNothingIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done, _ := serve(ctx, newService(t, nil), &fakeBus{})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want a good end", err)
		}
	})
}

// Calls in flight may finish within SHUTDOWN_TIMEOUT; then they are cut, and
// after a grace whatever still waits for NATS ends as well.
func TestDrain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		takes time.Duration // the work, if nobody cuts it; -1: it also waits for NATS for ever
		err   error
		after time.Duration
	}{
		"in time":          {10 * time.Second, nil, 10 * time.Second},
		"too long":         {time.Hour, ErrCut, 25 * time.Second},
		"NATS is away too": {-1, ErrCut, 25*time.Second + storeGrace},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				interrupted, entered := make(chan struct{}), make(chan *handler, 1)
				b := &fakeBus{busy: 1}
				b.run = func(intake, work context.Context, _ bus.Handlers) error {
					leave, _ := (<-entered).inFlight.enter("c", anID, call{&bus.Delivery{}, func(err error) {
						if !errors.Is(err, upstream.ErrStopping) {
							t.Errorf("interrupted with %v", err)
						}
						close(interrupted)
					}})
					defer leave()
					<-intake.Done()
					if tt.takes < 0 {
						<-work.Done()
						return nil
					}
					select {
					case <-time.After(tt.takes):
					case <-interrupted:
					}
					return nil
				}
				done, h := serve(ctx, newService(t, nil), b)
				entered <- h
				synctest.Wait()
				cancel()
				start := time.Now()
				if err := <-done; !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// What is in flight at the timeout and has ended by itself is not cut.
func TestNothingIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := &fakeBus{run: func(_, work context.Context, _ bus.Handlers) error { <-work.Done(); return nil }}
		done, _ := serve(ctx, newService(t, func(c *config.Config) { c.ShutdownTimeout = time.Second }), b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestEndsOfTheBus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{closed: make(chan struct{})}
		done, _ := serve(t.Context(), newService(t, nil), b)
		close(b.closed)
		if err := <-done; !errors.Is(err, bus.ErrClosed) {
			t.Errorf("closed: got %v", err)
		}
		broken := errors.New("it cannot listen")
		done, _ = serve(t.Context(), newService(t, nil), &fakeBus{run: func(context.Context, context.Context, bus.Handlers) error { return broken }})
		if err := <-done; !errors.Is(err, broken) {
			t.Errorf("broken: got %v", err)
		}
	})
}

// Until NATS is there it is waited for; being stopped meanwhile is a good end.
func TestRunWithoutNATS(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *config.Config) { c.NATS.URL = "nats://127.0.0.1:1" })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("got %v", err)
	}
	s = newService(t, func(c *config.Config) { c.NATS.URL, c.APIPrefix = "nats://127.0.0.1:1", "" })
	if err := s.Run(t.Context()); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("no prefix: got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, "v1", quiet(t)); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("no key: got %v", err)
	}
	c.APIKeys, c.Concurrency = config.List{"sk-or-test"}, 0
	if _, err := New(c, "v1", quiet(t)); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "WORKER_CONCURRENCY") {
		t.Errorf("no slots: got %v", err)
	}
	c.Concurrency, c.NATS.URL = 1, "nats://me:hunter2/x@host"
	if _, err := New(c, "v1", quiet(t)); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "NATS_URL=nats://****@host") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a bad URL: got %v", err)
	}
}

// What an orchestrator and people on call are told, from the start to the end.
func TestHealth(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *config.Config) { c.RequestMaxBytes = 1000 })
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	check := func(when, path string, code int, says string) {
		t.Helper()
		if got, text := ask(path); got != code || !strings.Contains(text, says) {
			t.Errorf("%s: %s: got %d %s, want %d with %q", when, path, got, text, code, says)
		}
	}
	check("at the start", "/healthz", http.StatusOK, "ok")
	check("at the start", "/readyz", http.StatusServiceUnavailable, "starting")
	check("at the start", "/readyz?verbose", http.StatusServiceUnavailable, `"breaker":"closed"`)
	b := &fakeBus{busy: 3}
	s.health.running(b)
	check("running", "/readyz", http.StatusOK, "ok")
	check("running", "/readyz?verbose", http.StatusOK, `"intake":"open","in_flight":3,"slots":100`)
	check("running", "/metrics", http.StatusOK, "")
	b.unready = "NATS is not connected"
	check("without NATS", "/readyz", http.StatusServiceUnavailable, "NATS is not connected")
	b.unready = ""
	s.health.stopping()
	check("stopping", "/readyz", http.StatusServiceUnavailable, "stopping")
	var w WorkerStatus
	if text, err := json.Marshal(s.statusOf(b)()); err != nil || json.Unmarshal(text, &w) != nil || w.Instance != "an instance" || w.Version != "v1" || w.Why != "stopping" || w.Slots != 100 {
		t.Errorf("status: got %s, %v", text, err)
	}
	if h := s.newHandler(b, 5, 2000); h.rules.MaxBytes != 1000 || h.rules.MaxBody != 1000 {
		t.Errorf("REQUEST_MAX_BYTES: got %d", h.rules.MaxBytes)
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
