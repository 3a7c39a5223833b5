package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// cancels knows which requests were cancelled: the stream remembers them, and
// a subscription brings those that come now to calls under way. It asks the
// stream's leader, in JSON: a cancellation has no body, and a client takes such
// a message, as a direct get returns it, for the server's own word when it
// carries a Status header, which any requester can write.
type cancels struct {
	broker *broker
	notify func(id string) // ends calls under way
	live   func(id string) // looks after requests that wait
}

// follow listens for cancellations until stop is called.
func (c *cancels) follow(ctx context.Context) (stop func(), err error) {
	b := c.broker
	heard, err := b.nc.Subscribe(b.names.CancelsAll(), func(m *nats.Msg) {
		if id, ok := b.names.CancelledID(m.Subject); ok {
			c.notify(id)
			c.live(id)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", b.names.CancelsAll(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	if err := b.nc.FlushWithContext(ctx); err != nil {
		b.log.WarnContext(ctx, "cancellations are heard as soon as NATS answers", "error", err)
	}
	return func() { _ = heard.Unsubscribe() }, nil
}

// has returns whether a request was cancelled; false when ctx ends first.
func (c *cancels) has(ctx context.Context, id string) bool {
	subject := c.broker.names.Cancel(events.CanonicalID(id))
	found := false
	_ = c.broker.patiently(ctx, func(ctx context.Context) error { // its error is ctx's, and the caller sees that
		b, answer := c.broker, struct{}{}
		err := request(ctx, b.nc, b.api("STREAM.MSG.GET."+b.names.CancelsStream()), map[string]any{"last_by_subj": subject, "no_hdr": true}, &answer)
		found = err == nil
		if errors.Is(err, errNoMessage) {
			return nil
		}
		return err
	})
	return found
}
