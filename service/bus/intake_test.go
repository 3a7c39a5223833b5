package bus

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

func (b *bench) publish(n int) {
	b.t.Helper()
	for range n {
		b.Publish([]byte("x"), nil)
	}
}

// While the intake is paused nothing is pulled, though slots are free; then
// everything is.
func TestNothingIsPulledWhilePaused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	b.publish(5)
	var asked, worked atomic.Int32
	stop := b.run(bus, Handlers{
		Deliver: func(ctx context.Context, d *Delivery) {
			if n := asked.Load(); n < 20 {
				t.Errorf("a message was taken when the pause had been asked for %d times", n)
			}
			worked.Add(1)
			_, _ = bus.Settle(ctx, d, End{})
		},
		Pause: func() (time.Duration, string) {
			if asked.Add(1) < 20 {
				return time.Millisecond, "a test"
			}
			return 0, ""
		},
	})
	b.Idle()
	if err := stop(); err != nil || worked.Load() != 5 {
		t.Errorf("messages worked on: %d, want 5; Run returned %v", worked.Load(), err)
	}
	if log := b.log.String(); strings.Count(log, "taking no requests: a test") != 1 || strings.Count(log, "taking requests again") != 1 {
		t.Errorf("the log does not say it once:\n%s", log)
	}
}

// Never more messages are taken than there are slots (promise 5), whatever the
// backlog.
func TestSlotsBoundTheWork(t *testing.T) {
	t.Parallel()
	const slots, backlog = 3, 30
	b := setup(t, func(c *config.Config) { c.Concurrency = slots })
	bus := b.open()
	b.publish(backlog)
	var at, worked atomic.Int32
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		if n := at.Add(1); n > slots {
			t.Errorf("%d at once, with %d slots", n, slots)
		}
		b.Until("no more messages are out of the queue than there are slots", func() (string, bool) {
			info, err := b.JS.Consumer(ctx, b.Names.RequestsStream(), Durable)
			if err != nil {
				return err.Error(), false
			}
			held := info.CachedInfo().NumAckPending // what was acknowledged may count until the server has read that
			return fmt.Sprint(held), held <= slots
		})
		if n, all := bus.InFlight(); n < 1 || n > slots || all != slots {
			t.Errorf("in flight: %d of %d, with %d slots", n, all, slots)
		}
		worked.Add(1)
		at.Add(-1)
		_, _ = bus.Settle(ctx, d, End{})
	}})
	b.Idle()
	if err := stop(); err != nil || worked.Load() != backlog {
		t.Errorf("worked on %d, want %d; Run returned %v", worked.Load(), backlog, err)
	}
}

// What a panic leaves unsettled is nacked, and nothing else ends.
func TestPanicNacks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spans := tracetest.NewInMemoryExporter()
	b.spans = spans
	bus := b.open()
	b.publish(1)
	began := make(chan struct{}, 10)
	stop := b.run(bus, Handlers{Deliver: func(context.Context, *Delivery) {
		began <- struct{}{}
		panic("work")
	}})
	<-began
	if err := stop(); err != nil {
		t.Error(err)
	}
	status := map[string]codes.Code{}
	for _, s := range spans.GetSpans() {
		status[s.Name] = s.Status.Code
	}
	if want := map[string]codes.Code{"nak gemini.requests": codes.Unset}; !maps.Equal(status, want) {
		t.Errorf("spans: got %v, want %v", status, want)
	}
	if n := b.State(b.Names.RequestsStream()).Msgs; n != 1 {
		t.Errorf("messages left: %d, want 1", n)
	}
	if log := b.log.String(); !strings.Contains(log, "a delivery made the service panic") || !strings.Contains(log, "intake_test.go") {
		t.Errorf("the log does not say where:\n%s", log)
	}
}

// A nacked message is delivered again, also at once: it does not need the slot that
// it was in.
func TestNackIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	b.publish(1)
	deliveries := make(chan uint64, 200)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		deliveries <- d.Deliveries
		_, _ = bus.Settle(ctx, d, End{Nack: d.Deliveries < 100})
	}})
	b.Idle()
	for want := uint64(1); want <= 100; want++ {
		if got := <-deliveries; got != want {
			t.Fatalf("delivery %d is the message's %d", want, got)
		}
	}
}

// A consumer that was deleted is made again, and the log says so once.
func TestConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	b.run(bus, Handlers{})
	b.Result(b.Ask("before", nil))
	if err := b.JS.DeleteConsumer(b.Context(), b.Names.RequestsStream(), Durable); err != nil {
		t.Fatal(err)
	}
	b.Result(b.Ask("after", nil))
	b.Until("it is ready again", func() (string, bool) { why := bus.Unready(); return why, why == "" })
}

// Messages that together are more than nats-server holds for a client
// (max_pending) are taken in several pulls, and a worker whose network stalls is
// not cut off for them.
func TestManyLargeMessages(t *testing.T) {
	t.Parallel()
	const messages, size = 22, 2 << 20
	n := servicetest.RunNATS(t, func(o *server.Options) { o.MaxPayload, o.MaxPending = 8<<20, 40<<20 })
	between := newNetwork(t, strings.TrimPrefix(n.URL, "nats://"))
	b := setupOn(t, n, func(c *config.Config) { c.NATS.URL, c.Concurrency = "nats://"+between.address, messages })
	bus := b.open()
	for range messages {
		b.Publish(make([]byte, size), nil)
	}
	var deliveries atomic.Int32
	between.stall(1 << 20)
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		deliveries.Add(1)
		if len(d.Body) != size || d.Deliveries != 1 {
			t.Errorf("delivery %d of a message with %d bytes", d.Deliveries, len(d.Body))
		}
		_, _ = bus.Settle(ctx, d, End{})
	}})
	b.Until("the server has delivered all that was pulled", func() (string, bool) {
		consumer, err := b.JS.Consumer(b.Context(), b.Names.RequestsStream(), Durable)
		if err != nil {
			return err.Error(), false
		}
		info := consumer.CachedInfo()
		return fmt.Sprintf("%+v", info), info.NumAckPending > 0 && info.NumWaiting == 0
	})
	between.resume()
	b.Idle()
	if err := stop(); err != nil || deliveries.Load() != messages {
		t.Errorf("deliveries: got %d, want %d: the worker was cut off, and messages were delivered again; Run returned %v", deliveries.Load(), messages, err)
	}
	if log := b.log.String(); strings.Contains(log, "lost the connection") || strings.Contains(log, "cannot be read") {
		t.Errorf("the worker was cut off:\n%s", log)
	}
}

// acknowledge is a line that acknowledges whatever comes.
func acknowledge(bus *Bus) func(context.Context, *Delivery) {
	return func(ctx context.Context, d *Delivery) { _, _ = bus.Settle(ctx, d, End{}) }
}
