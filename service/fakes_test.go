package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBus is a bus without NATS. A function that is nil has the plain answer:
// admitted, settled and stored, nothing waits.
type fakeBus struct {
	admit   func(bus.Ask) bus.Admission
	settle  func(bus.End) (bus.Settled, error)
	waiting func(callback, id string) *bus.Delivery
	cancels func(id string) (bool, error)
	run     func(intake, work context.Context, h bus.Handlers) error
	closed  chan struct{}
	unready string
	taken   bool // another worker has taken over what was admitted
	body    func(ctx context.Context, ref events.BodyRef) ([]byte, error)
	put     func(result []byte) (events.BodyRef, error)

	tenants tenant.Registry

	mu   sync.Mutex
	asks []bus.Ask
	ends []bus.End
	busy int

	dropped []string // names of objects
}

func (b *fakeBus) Admit(_ context.Context, asks ...bus.Ask) []bus.Admission {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asks = append(b.asks, asks...)
	answers := make([]bus.Admission, len(asks))
	for i, ask := range asks {
		answers[i] = bus.Admission{State: bus.Admitted, Starts: 1}
		if b.admit != nil {
			answers[i] = b.admit(ask)
		}
	}
	return answers
}

func (b *fakeBus) Settle(ctx context.Context, _ *bus.Delivery, end bus.End) (bus.Settled, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = append(b.ends, end)
	if b.settle != nil {
		return b.settle(end)
	}
	if ctx.Err() != nil && !end.Nack {
		return bus.Settled{}, context.Cause(ctx)
	}
	return bus.Settled{Stored: end.Result != nil, DeadLettered: end.DeadLetter != nil}, nil
}

func (b *fakeBus) Deltas(*bus.Delivery, *events.Request) *bus.Deltas { return &bus.Deltas{} }

func (b *fakeBus) Tenants() *tenant.Registry { return &b.tenants }

func (b *fakeBus) Holds(context.Context, *bus.Delivery) (bool, error) { return !b.taken, nil }

func (b *fakeBus) IsCancelled(_ context.Context, _, id string) (bool, error) {
	if b.cancels == nil {
		return false, nil
	}
	return b.cancels(id)
}

func (b *fakeBus) Waiting(_ context.Context, callback, id string) (*bus.Delivery, error) {
	if b.waiting == nil {
		return nil, nil
	}
	return b.waiting(callback, id), nil
}

func (b *fakeBus) Body(ctx context.Context, _ *bus.Delivery, ref events.BodyRef) ([]byte, error) {
	return b.body(ctx, ref)
}

func (b *fakeBus) PutResult(_ context.Context, _ string, result []byte) (events.BodyRef, error) {
	if b.put == nil {
		return events.BodyRef{}, bus.ErrRefused
	}
	return b.put(result)
}

func (b *fakeBus) DropBody(_ context.Context, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped = append(b.dropped, name)
}

func (b *fakeBus) Run(intake, work context.Context, h bus.Handlers) error {
	if b.run != nil {
		return b.run(intake, work, h)
	}
	<-intake.Done()
	return nil
}

func (b *fakeBus) Closed() <-chan struct{} { return b.closed }
func (b *fakeBus) Unready() string         { return b.unready }

func (b *fakeBus) Full() string     { return "" }
func (b *fakeBus) Instance() string { return "an instance" }

func (b *fakeBus) InFlight() (n, slots int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.busy, 100
}

// settled returns the ends so far.
func (b *fakeBus) settled() []bus.End {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]bus.End(nil), b.ends...)
}

// fakeUpstream answers as it is told; nil answers "hello".
type fakeUpstream func(ctx context.Context, request events.Request) upstream.Reply

func (fakeUpstream) Limited() bool { return false }

func (f fakeUpstream) Answer(ctx context.Context, request *events.Request, piece func(int, string)) *upstream.Reply {
	if f != nil {
		return new(f(ctx, *request))
	}
	piece(1, "hello")
	return &upstream.Reply{Answer: &upstream.Answer{Content: "hello", Model: "google/m", FinishReason: "stop"}, Attempts: 1}
}

// fails is an upstream that fails.
func fails(e upstream.Error) fakeUpstream {
	return func(context.Context, events.Request) upstream.Reply { return upstream.Reply{Err: &e, Attempts: 1} }
}

// line is a handler before fakes, and what people see of it.
type line struct {
	*handler
	bus   *fakeBus
	log   *buffer
	spans *tracetest.InMemoryExporter
}

func newLine(t *testing.T, b *fakeBus, up fakeUpstream) line {
	t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	l := line{bus: b, log: &buffer{}, spans: tracetest.NewInMemoryExporter()}
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{LogLevel: "DEBUG", LogFormat: "json", Output: l.log, SpanExporter: l.spans})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	l.handler = &handler{rules: c.Rules(0), decode: events.Rules.Decode, queue: c.Queue, maxCrashLoops: 3, bus: b, upstream: up, inFlight: newInFlight(), tel: tel}
	return l
}

const anID = "7a3b1c9e-0000-4000-8000-000000000001"

// delivery is a request as it comes from the queue.
func delivery(more string) *bus.Delivery {
	body := fmt.Appendf(nil, `{"request_id":%q,"prompt":"Why?","metadata":{"a":1}%s}`, anID, more)
	return &bus.Delivery{Body: body, Header: events.Header{}, Queue: "gemini.requests", Stream: "GEMINI_REQUESTS", Sequence: 1, Deliveries: 1, Stored: time.Now(), Taken: time.Now()}
}

// logged returns the lines with a message.
func (l line) logged(t *testing.T, message string) (lines []map[string]any) {
	t.Helper()
	decoder := json.NewDecoder(l.log.reader())
	for {
		var entry map[string]any
		if err := decoder.Decode(&entry); err == io.EOF {
			return lines
		} else if err != nil {
			t.Fatal(err)
		}
		if entry["msg"] == message {
			lines = append(lines, entry)
		}
	}
}
