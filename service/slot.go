package service

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"gemini-client/events"
	"gemini-client/telemetry"
)

// heldKey names a queue message. The time belongs to it because a deleted and
// recreated stream begins again at sequence 1.
type heldKey struct {
	stream   string
	sequence uint64
	stored   time.Time
}

// held is a message in a slot. A redelivery of it replaces its handle.
type held struct {
	mu sync.Mutex
	m  pulled
}

func (h *held) handle() pulled {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.m
}

func (c *consumer) forget(key heldKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, key)
}

// process works on a message while it is kept alive, and settles it: the one
// place where that is done.
func (c *consumer) process(ctx context.Context, q *queue, h *held, d delivery) {
	ctx, span := c.tel.StartProcess(c.tel.Extract(ctx, d.Header), telemetry.ProcessInfo{
		Destination: q.subject, Consumer: Durable, Stream: d.Stream, StreamSequence: d.Sequence, DeliveryCount: d.Deliveries,
	})
	c.tel.Instruments.InFlight(ctx, 1)
	defer c.tel.Instruments.InFlight(ctx, -1)
	stop := c.keepAlive(ctx, q, h)
	r := c.guarded(ctx, q, d)
	stop()
	if r.settlement.again {
		c.giveBack(ctx, q, h, r.settlement.after)
	} else {
		c.acknowledge(ctx, q, h)
	}
	r.describe(span)
}

// guarded is the work; a panic in it gives the message back, for the handler
// turns a panic in a request into a result and this must be another.
func (c *consumer) guarded(ctx context.Context, q *queue, d delivery) (r report) {
	defer func() {
		if p := recover(); p != nil {
			c.log.ErrorContext(ctx, "a delivery made the service panic", "panic", fmt.Sprintf("%T", p), "stream", d.Stream, "sequence", d.Sequence, "stack", string(debug.Stack()))
			r = report{settlement: giveBack(q.ackIn), outcome: outcomeGivenBack, code: events.Internal, text: "a delivery made the service panic"}
			c.tel.Instruments.RequestSettled(ctx, r.outcome, string(r.code), "")
		}
	}()
	return c.work(ctx, d)
}

// keepAlive tells JetStream every third of the ack wait that the message is
// worked on, until stop is called.
func (c *consumer) keepAlive(ctx context.Context, q *queue, h *held) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		beat := time.NewTicker(q.ackIn / 3)
		defer beat.Stop()
		for {
			select {
			case <-done:
				return
			case <-beat.C:
				if err := h.handle().inProgress(); err != nil {
					c.log.DebugContext(ctx, "a message was not kept alive; it will be delivered again", "stream", q.stream, "error", err)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// acknowledge waits for the server's word. If it does not come, the message is
// delivered again, and the look-up will find its result.
func (c *consumer) acknowledge(ctx context.Context, q *queue, h *held) {
	_, span := c.tel.StartSettle(ctx, "ack", q.subject)
	var err error
	for range 3 {
		one, cancel := context.WithTimeout(ctx, brokerTimeout)
		err = h.handle().ack(one)
		cancel()
		if err == nil || sleep(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	span.End(brokerFault(err), err)
	c.tell(ctx, "acknowledge", err)
}

// giveBack asks for another delivery. The server says nothing to that; if it
// did not hear it, the message comes back after the ack wait.
func (c *consumer) giveBack(ctx context.Context, q *queue, h *held, after time.Duration) {
	_, span := c.tel.StartSettle(ctx, "nak", q.subject)
	err := h.handle().nak(after)
	span.End(brokerFault(err), err)
	c.tell(ctx, "give back", err)
}

func (c *consumer) tell(ctx context.Context, what string, err error) {
	if err != nil {
		c.log.WarnContext(ctx, "could not "+what+" a message; it will be delivered again and settled then", "error", err)
	}
}

// busy is the number of messages in slots.
func (c *consumer) busy() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}
