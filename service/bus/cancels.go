package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// cancels knows which requests were cancelled: the stream remembers them, and a
// subscription brings those that come now to calls in flight. It asks the stream's
// leader, in JSON, and not by a direct get: see queue.pull for Status headers.
type cancels struct{ streams *streams }

// follow calls cancelled with the id of every cancellation, until stop is called.
// cancelled must not block.
func (c *cancels) follow(ctx context.Context, cancelled func(id string)) (stop func(), err error) {
	s := c.streams
	subscription, err := s.conn.Subscribe(s.names.CancelsAll(), func(m *nats.Msg) {
		if id, ok := s.names.CancelledID(m.Subject); ok {
			cancelled(id)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", s.names.CancelsAll(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := s.conn.FlushWithContext(ctx); err != nil {
		s.log.WarnContext(ctx, "cancellations take effect once NATS answers", "error", err)
	}
	return func() { _ = subscription.Unsubscribe() }, nil
}

// IsCancelled returns whether a request was cancelled, as the stream remembers it.
// It waits for NATS as long as ctx lasts. Errors: ErrRefused, ctx's cause.
func (b *Bus) IsCancelled(ctx context.Context, id string) (bool, error) {
	return b.cancels.has(ctx, id)
}

// has returns whether a request was cancelled. Errors: ErrRefused, ctx's cause.
func (c *cancels) has(ctx context.Context, id string) (found bool, err error) {
	s := c.streams
	last := map[string]any{"last_by_subj": s.names.Cancel(events.CanonicalID(id)), "no_hdr": true}
	err = s.patiently(ctx, func(ctx context.Context) error {
		err := s.conn.request(ctx, "STREAM.MSG.GET."+s.names.CancelsStream(), last, new(struct{}))
		found = err == nil
		if errors.Is(err, errNoMessage) {
			return nil
		}
		return classify(err)
	})
	return found, err
}
