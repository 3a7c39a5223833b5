package service

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/telemetry"
)

// idlePull is how long a pull for requests stays open when there are none. In
// between the retries are asked for, so a retry waits at most this long; a
// request never does.
const idlePull = time.Second

// maxPull bounds one pull, and with it the client's buffer for it.
const maxPull = 256

// consumer takes messages from the queues, one for each free slot and never
// more, keeps them alive while they are worked on, and settles them. It is the
// only part that sees JetStream's messages.
type consumer struct {
	queues []*queue // in the order in which they are asked
	slots  chan struct{}
	work   func(context.Context, delivery) report
	hold   func() (time.Duration, string)
	tel    *telemetry.Telemetry
	log    *slog.Logger
	nc     *nats.Conn

	mu     sync.Mutex
	held   map[heldKey]*held
	wg     sync.WaitGroup
	paused string // why nothing is taken; "" if it is
}

// queue is a stream's durable consumer.
type queue struct {
	stream  string
	subject string
	next    string                                            // where to ask for messages
	bind    func(context.Context) (jetstream.Consumer, error) // finds or makes the consumer
	ackIn   time.Duration                                     // the consumer's own AckWait
	wait    time.Duration                                     // how long a pull stays open; 0: answer at once
	failed  int                                               // pulls in a row
	broken  atomic.Bool                                       // they failed, and the log says so
}

func newConsumer(slots int, queues []*queue, work func(context.Context, delivery) report, hold func() (time.Duration, string), nc *nats.Conn, tel *telemetry.Telemetry) *consumer {
	c := &consumer{queues: queues, slots: make(chan struct{}, slots), work: work, hold: hold, nc: nc, tel: tel, log: tel.Logger, held: map[heldKey]*held{}}
	for range slots {
		c.slots <- struct{}{}
	}
	return c
}

// run takes messages until intake ends and then waits until every slot is free
// again. The work itself goes on under ctx.
func (c *consumer) run(intake, ctx context.Context) {
	defer c.wg.Wait()
	for {
		free := c.take(intake)
		if free == 0 {
			return
		}
		if !c.open(intake) {
			c.give(free)
			return
		}
		for _, q := range c.queues {
			if free > 0 && intake.Err() == nil {
				free -= c.fetch(intake, ctx, q, free)
			}
		}
		c.give(free)
	}
}

// take waits for a free slot and takes all there are; 0 when intake ends.
func (c *consumer) take(intake context.Context) int {
	select {
	case <-c.slots:
	case <-intake.Done():
		return 0
	}
	for n := 1; n < maxPull; n++ {
		select {
		case <-c.slots:
		default:
			return n
		}
	}
	return maxPull
}

func (c *consumer) give(n int) {
	for range n {
		c.slots <- struct{}{}
	}
}

// open waits while no work can be done, with one line in the log at each
// change; false when intake ends.
func (c *consumer) open(intake context.Context) bool {
	for {
		wait, why := c.hold()
		if why != c.paused {
			c.paused = why
			if why != "" {
				c.log.WarnContext(intake, "taking no requests: "+why, "looking_again_in", rounded(wait))
			} else {
				c.log.InfoContext(intake, "taking requests again")
			}
		}
		if why == "" {
			return intake.Err() == nil
		}
		if sleep(intake, min(wait, time.Second)) != nil {
			return false
		}
	}
}

// fetch pulls up to n messages and puts each into a slot as it comes. It
// returns how many slots it used.
func (c *consumer) fetch(intake, ctx context.Context, q *queue, n int) int {
	used := 0
	err := q.pull(c.nc, n, func(m pulled) {
		if intake.Err() != nil { // it came while we were stopping
			c.tell(ctx, "give back", m.nak(0))
			return
		}
		if c.begin(ctx, q, m) {
			used++
		}
	})
	if err != nil {
		q.failed++
		c.failing(intake, q, err)
		return used
	}
	q.failed = 0
	if c.nc.IsConnected() && q.broken.CompareAndSwap(true, false) {
		c.log.InfoContext(ctx, "the queue can be read again", "stream", q.stream)
	}
	return used
}

// failing handles a pull that failed: one line when it is no blip, a pause, and
// a fresh look at the consumer, which may have been deleted.
func (c *consumer) failing(intake context.Context, q *queue, err error) {
	if intake.Err() != nil {
		return
	}
	if q.failed > 1 && q.broken.CompareAndSwap(false, true) {
		c.log.WarnContext(intake, "the queue cannot be read, trying until it can", "stream", q.stream, "error", err)
	}
	if sleep(intake, idlePull) != nil || !c.nc.IsConnected() {
		return
	}
	one, cancel := context.WithTimeout(intake, brokerTimeout)
	defer cancel()
	if _, err := q.bind(one); err != nil {
		c.log.DebugContext(intake, "the consumer was not found", "stream", q.stream, "error", err)
	}
}

// unreadable returns the stream of a queue that cannot be read, "" if both can.
func (c *consumer) unreadable() string {
	for _, q := range c.queues {
		if q.broken.Load() {
			return q.stream
		}
	}
	return ""
}

// begin puts a message into a slot, unless it is in one already.
func (c *consumer) begin(ctx context.Context, q *queue, m pulled) bool {
	meta, err := m.Metadata()
	if err != nil {
		c.log.ErrorContext(ctx, "a message without JetStream's reply subject", "error", err)
		return false
	}
	key := heldKey{q.stream, meta.Sequence.Stream, meta.Timestamp}
	c.mu.Lock()
	defer c.mu.Unlock()
	if there := c.held[key]; there != nil {
		there.mu.Lock()
		there.m = m
		there.mu.Unlock()
		return false
	}
	h := &held{m: m}
	c.held[key] = h
	d := delivery{
		Body: m.Data, Header: m.Header, Stream: q.stream, Sequence: meta.Sequence.Stream,
		Deliveries: meta.NumDelivered, Stored: meta.Timestamp, Taken: time.Now(),
	}
	c.wg.Go(func() {
		defer c.give(1)
		defer c.forget(key)
		c.process(ctx, q, h, d)
	})
	return true
}

// rounded makes a duration short enough to read.
func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}

// sleep waits; it returns ctx's cause when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
