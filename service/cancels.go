package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// cancels is the set of cancelled requests, kept current by an ordered
// consumer, and the way a cancellation reaches a call under way.
type cancels struct {
	names  events.Names
	keep   time.Duration
	notify func(id string)
	live   func(id string) // told of those that come while we follow

	mu  sync.Mutex
	set map[string]time.Time
}

// follow fills the set with what is stored and keeps it current until stop is
// called. It returns when the set is complete as of now.
func (c *cancels) follow(ctx context.Context, js jetstream.JetStream) (stop func(), err error) {
	c.set = map[string]time.Time{}
	consumer, err := js.OrderedConsumer(ctx, c.names.CancelsStream(), jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", c.names.CancelsStream(), err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", c.names.CancelsStream(), err)
	}
	current := make(chan struct{})
	left := info.NumPending
	if left == 0 {
		close(current)
	}
	following, err := consumer.Consume(func(m jetstream.Msg) {
		id, ok := c.add(m)
		if left == 0 && ok {
			c.live(id)
		}
		if left > 0 {
			if left--; left == 0 {
				close(current)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", c.names.CancelsStream(), err)
	}
	select {
	case <-current:
		return func() { following.Stop(); <-following.Closed() }, nil
	case <-ctx.Done():
		following.Stop()
		return nil, context.Cause(ctx)
	}
}

func (c *cancels) add(m jetstream.Msg) (id string, ok bool) {
	id, ok = c.names.CancelledID(m.Subject())
	if !ok {
		return "", false
	}
	c.mu.Lock()
	c.set[id] = time.Now()
	if len(c.set)%1024 == 0 {
		c.forget()
	}
	c.mu.Unlock()
	c.notify(id)
	return id, true
}

// forget drops what the stream has dropped as well, so that the set does not
// grow for ever. The caller holds the lock.
func (c *cancels) forget() {
	for id, at := range c.set {
		if c.keep > 0 && time.Since(at) > c.keep {
			delete(c.set, id)
		}
	}
}

// has returns whether a request was cancelled.
func (c *cancels) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.set[events.CanonicalID(id)]
	return ok
}
