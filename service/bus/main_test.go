package bus

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// bench is a server, a backend on it, and the settings of a service there.
type bench struct {
	*servicetest.Backend
	t      testing.TB
	nats   *servicetest.NATS
	config config.Config
	log    *servicetest.Buffer
	spans  trace.SpanExporter
}

func setup(tb testing.TB, changes ...func(*config.Config)) *bench {
	tb.Helper()
	return setupOn(tb, servicetest.RunNATS(tb), changes...)
}

func setupOn(tb testing.TB, n *servicetest.NATS, changes ...func(*config.Config)) *bench {
	tb.Helper()
	c := defaults(tb)
	c.NATS.URL, c.AckWait, c.Concurrency = n.URL, 3*time.Second, 10
	for _, change := range changes {
		change(&c)
	}
	return &bench{Backend: servicetest.NewBackend(tb, n), t: tb, nats: n, config: c, log: &servicetest.Buffer{}}
}

// defaults is the configuration of an empty environment.
func defaults(tb testing.TB) config.Config {
	tb.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		tb.Fatalf("the defaults do not load: %v", err)
	}
	return c
}

// provision creates the streams before any bus is open.
func (b *bench) provision() {
	b.t.Helper()
	if err := NewTopology(b.config, b.NC.MaxPayload()).Provision(b.Context(), b.JS); err != nil {
		b.t.Fatalf("provision: %v", err)
	}
}

// connect returns a connection as the service makes it.
func (b *bench) connect() *Conn {
	b.t.Helper()
	conn, err := Connect(b.t.Context(), b.config.NATS, slog.New(slog.NewTextHandler(b.log, nil)))
	if err != nil {
		b.t.Fatalf("connect: %v", err)
	}
	b.t.Cleanup(conn.Close)
	return conn
}

// streams returns the service's streams, which it creates.
func (b *bench) streams() *streams {
	b.t.Helper()
	b.provision()
	return b.bind()
}

func (b *bench) bind() *streams {
	b.t.Helper()
	s, err := bindStreams(b.t.Context(), b.connect(), b.config.Names(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// open opens a bus that is closed with the test.
func (b *bench) open() *Bus {
	b.t.Helper()
	tel, err := telemetry.Setup(b.t.Context(), telemetry.Config{LogLevel: "DEBUG", LogFormat: "json", Output: b.log, SpanExporter: b.spans})
	if err != nil {
		b.t.Fatal(err)
	}
	bus, err := Open(b.Context(), b.config, tel)
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	b.t.Cleanup(func() {
		bus.Close()
		if err := tel.Shutdown(context.Background()); err != nil {
			b.t.Errorf("telemetry: %v", err)
		}
	})
	return bus
}

// run runs a bus until stop is called, or the test ends; stop returns what Run
// returned. What the handlers leave out has a default.
func (b *bench) run(bus *Bus, h Handlers) (stop func() error) {
	b.t.Helper()
	if h.Deliver == nil {
		h.Deliver = b.answer(bus)
	}
	if h.Cancelled == nil {
		h.Cancelled = func(string, string) {}
	}
	if h.Resumed == nil {
		h.Resumed = func() {}
	}
	if h.Pause == nil {
		h.Pause = func() (time.Duration, string) { return 0, "" }
	}
	if h.Status == nil {
		h.Status = func() any { return nil }
	}
	intake, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bus.Run(intake, context.WithoutCancel(intake), h) }()
	stop = sync.OnceValue(func() error { end(); return <-done })
	b.t.Cleanup(func() { _ = stop() })
	return stop
}

// answer is a line that answers every request that is admitted.
func (b *bench) answer(bus *Bus) func(context.Context, *Delivery) {
	rules := b.config.Rules(0)
	return func(ctx context.Context, d *Delivery) {
		r, err := rules.Decode(d.Body, d.Taken)
		if err != nil {
			b.t.Errorf("a request that cannot be read: %v", err)
		}
		end := End{}
		switch bus.Admit(ctx, Ask{Delivery: d, Callback: r.CallbackQueue, ID: r.ID, Deadline: r.Deadline})[0].State {
		case Admitted:
			result := r.Completed("answered", time.Now())
			end.Result = &result
		case Cancelled:
			result := r.Failed(events.Failure{Code: events.Cancelled, Message: "cancelled"}, time.Now())
			end.Result = &result
		case Busy, Interrupted, Unclear:
			end.Nack, end.After = true, 100*time.Millisecond
		case Expired, Duplicate, Answered, Rescheduled:
		}
		if _, err := bus.Settle(ctx, d, end); err != nil {
			b.t.Errorf("settle: %v", err)
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
