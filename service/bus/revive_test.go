package bus

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// A queue that does not answer delays the other one once and not in every round,
// and says why it is not read. When it answers again it is read again.
func TestSilentQueueDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, retries := range map[string]bool{"retries": true, "requests": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.Concurrency = 1 })
			bus := b.open()
			silent, other := bus.queues[0], b.Names.RequestQueue
			if !retries {
				silent, other = bus.queues[1], b.Names.Retries()
			}
			pulls, next := b.silence(silent)
			b.run(bus, Handlers{})
			const requests = 12
			for range requests {
				id := servicetest.NewID()
				b.send(other, id)
				b.Result(id)
			}
			if n := pulls.Load(); n >= requests/2 {
				t.Errorf("%d pulls that nobody answered while %d requests were", n, requests)
			}
			b.Until("it is not ready", func() (string, bool) { why := bus.Unready(); return why, why != "" })
			id := servicetest.NewID()
			b.send(silent.subject, id)
			next.Store(true)
			b.Result(id)
			b.Until("it is ready again", func() (string, bool) { why := bus.Unready(); return why, why == "" })
		})
	}
}

// While the queue of requests rests, that of retries, whose pulls are answered at
// once, is not asked in a hurry.
func TestQueueBesideARestingOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	var pulls atomic.Int32
	if _, err := b.NC.Subscribe(bus.queues[0].next, func(*nats.Msg) { pulls.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	bus.queues[1].next = "nobody.is.here"
	b.run(bus, Handlers{})
	b.Until("the requests cannot be read", func() (string, bool) { why := bus.Unready(); return why, strings.Contains(why, "cannot be read") })
	if n := pulls.Load(); n == 0 || n > 50 {
		t.Errorf("%d pulls for retries while the requests rested", n)
	}
	id := servicetest.NewID()
	b.send(b.Names.Retries(), id)
	b.Result(id)
}

// Where no queue answers, none is asked in a hurry.
func TestNoQueueAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency = 1 })
	bus := b.open()
	first, _ := b.silence(bus.queues[0])
	second, answers := b.silence(bus.queues[1])
	stop := b.run(bus, Handlers{})
	b.Until("it is not ready", func() (string, bool) { why := bus.Unready(); return why, why != "" })
	if one, two := first.Load(), second.Load(); one+two > 10 {
		t.Errorf("%d and %d pulls", one, two)
	}
	answers.Store(true)
	b.Result(b.Ask("one of them answers", nil))
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A queue that a person has paused answers, and holds up no other, whatever waits
// in it.
func TestPausedQueueAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	for _, stream := range []string{b.Names.RequestsStream(), b.Names.RetriesStream()} {
		if _, err := b.JS.PauseConsumer(b.Context(), stream, Durable, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range slices.Backward(bus.queues[:2]) {
		for _, waiting := range []bool{false, true} {
			if waiting {
				b.send(q.subject, servicetest.NewID())
			}
			for name, ask := range map[string]func() error{
				"pull": func() error {
					return q.pull(&inbox{nc: bus.conn.Conn}, 3, func(pulled) { t.Error("a message was delivered") })
				},
				"probe": func() error { return q.probe(t.Context(), bus.conn.Conn) },
			} {
				if err := ask(); err != nil {
					t.Errorf("%s of %s, a message waits %t: %v", name, q.stream, waiting, err)
				}
			}
		}
	}
}

// A probe brings no message, and costs none its delivery.
func TestProbeBringsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	q := bus.queues[1]
	for _, messages := range []int{0, 1} {
		b.publish(messages)
		if err := q.probe(t.Context(), bus.conn.Conn); err != nil {
			t.Errorf("%d messages wait: %v", messages, err)
		}
	}
	if d, err := bus.conn.Depth(b.Context(), q.stream); err != nil || d.InFlight != 0 || d.Waiting != 1 {
		t.Errorf("got %+v, %v", d, err)
	}
	if err := b.JS.DeleteConsumer(b.Context(), q.stream, Durable); err != nil {
		t.Fatal(err)
	}
	if err := q.probe(t.Context(), bus.conn.Conn); err == nil {
		t.Error("there is no consumer, and no error")
	}
}

// send publishes a request to a queue.
func (b *bench) send(queue, id string) {
	b.t.Helper()
	if _, err := b.JS.Publish(b.Context(), queue, servicetest.Body(id, "hello", nil)); err != nil {
		b.t.Fatal(err)
	}
}

// silence lets nobody answer the pulls for a queue, which it counts, until answers
// is set.
func (b *bench) silence(q *queue) (pulls *atomic.Int32, answers *atomic.Bool) {
	b.t.Helper()
	pulls, answers = &atomic.Int32{}, &atomic.Bool{}
	next := q.next
	q.next = "silent." + q.stream
	_, err := b.NC.Subscribe(q.next, func(m *nats.Msg) {
		if !answers.Load() {
			pulls.Add(1)
			return
		}
		if err := b.NC.PublishRequest(next, m.Reply, m.Data); err != nil {
			b.t.Error(err)
		}
	})
	if err == nil {
		err = b.NC.Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return pulls, answers
}
