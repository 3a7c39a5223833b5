package service

import (
	"context"
	"io"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// testConsumer takes requests from a broker's queue.
func testConsumer(t *testing.T, b *broker, slots int, work func(context.Context, delivery) report, hold func() (time.Duration, string), seen ...*telemetry.Telemetry) (run func(intake context.Context)) {
	t.Helper()
	tel := append(seen, telemetry.Nop())[0]
	bind := func(ctx context.Context) (jetstream.Consumer, error) {
		return b.js.Consumer(ctx, b.names.RequestsStream(), Durable)
	}
	q := &queue{stream: b.names.RequestsStream(), subject: b.names.RequestQueue, next: "$JS.API.CONSUMER.MSG.NEXT." + b.names.RequestsStream() + "." + Durable, bind: bind, ackIn: time.Minute, wait: idlePull}
	c := newConsumer(slots, []*queue{q}, work, hold, b.nc, tel)
	return func(intake context.Context) { c.run(intake, context.WithoutCancel(intake)) }
}

// While the intake is on hold nothing is pulled, though slots are free; then
// everything is.
func TestNothingIsPulledOnHold(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	for range 5 {
		if _, err := b.js.Publish(t.Context(), b.names.RequestQueue, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	intake, stop := context.WithTimeout(t.Context(), servicetest.Patience)
	defer stop()
	var asked, worked atomic.Int32
	hold := func() (time.Duration, string) {
		if asked.Add(1) < 20 {
			return time.Millisecond, "a test"
		}
		return 0, ""
	}
	run := testConsumer(t, b, 10, func(context.Context, delivery) report {
		if n := asked.Load(); n < 20 {
			t.Errorf("a message was taken when the hold had been asked %d times", n)
		}
		if worked.Add(1) == 5 {
			stop()
		}
		return report{}
	}, hold)
	run(intake)
	if n := worked.Load(); n != 5 {
		t.Errorf("messages worked on: %d, want 5", n)
	}
}

// Never more messages are taken than there are slots (promise 5), whatever the
// backlog.
func TestSlotsBoundTheWork(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	const slots, backlog = 3, 30
	for range backlog {
		if _, err := b.js.Publish(t.Context(), b.names.RequestQueue, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	intake, stop := context.WithTimeout(t.Context(), servicetest.Patience)
	defer stop()
	var at, worked atomic.Int32
	run := testConsumer(t, b, slots, func(ctx context.Context, _ delivery) report {
		if n := at.Add(1); n > slots {
			t.Errorf("%d at once, with %d slots", n, slots)
		}
		defer at.Add(-1)
		info, err := b.js.Consumer(ctx, b.names.RequestsStream(), Durable)
		if err != nil {
			t.Error(err)
		} else if held := info.CachedInfo().NumAckPending; held > slots {
			t.Errorf("messages out of the queue: %d, with %d slots", held, slots)
		}
		if worked.Add(1) == backlog {
			stop()
		}
		return report{}
	}, func() (time.Duration, string) { return 0, "" })
	run(intake)
	if n := worked.Load(); n != backlog {
		t.Errorf("worked on %d, want %d", n, backlog)
	}
}

// A panic in the work gives the message back and takes nothing else down; people
// see it in the trace as well.
func TestPanicGivesBack(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	if _, err := b.js.Publish(t.Context(), b.names.RequestQueue, []byte("x")); err != nil {
		t.Fatal(err)
	}
	intake, stop := context.WithTimeout(t.Context(), servicetest.Patience)
	defer stop()
	spans := tracetest.NewInMemoryExporter()
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: io.Discard, SpanExporter: spans})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	run := testConsumer(t, b, 1, func(context.Context, delivery) report {
		defer stop()
		panic("work")
	}, func() (time.Duration, string) { return 0, "" }, tel)
	run(intake)
	status := map[string]codes.Code{}
	for _, s := range spans.GetSpans() {
		status[s.Name] = s.Status.Code
	}
	if want := map[string]codes.Code{"nak gemini.requests": codes.Unset, "process gemini.requests": codes.Error}; !maps.Equal(status, want) {
		t.Errorf("spans: got %v, want %v", status, want)
	}
	s, err := b.js.Stream(t.Context(), b.names.RequestsStream())
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("messages left: %v, %v; want 1", s.CachedInfo().State.Msgs, err)
	}
}
