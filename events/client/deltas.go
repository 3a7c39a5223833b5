package client

import (
	"context"
	"iter"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// heardMost is how many deltas wait for their reader. More are lost.
const heardMost = 4096

// heard is what comes live of one request, in order: its deltas, and its result.
type heard struct {
	messages      chan *nats.Msg
	subscriptions []*nats.Subscription
}

// hear subscribes. A request is published on the same connection after that, so none of its
// deltas is missed.
func (h *Handle) hear() error {
	c, live := h.client, &heard{messages: make(chan *nats.Msg, heardMost)}
	for _, subject := range []string{c.names.Deltas(h.id), events.AnyResult(h.callback, h.id)} {
		s, err := c.nc.ChanSubscribe(subject, live.messages)
		if err != nil {
			live.close()
			return err
		}
		live.subscriptions = append(live.subscriptions, s)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = live
	return nil
}

func (l *heard) close() {
	for _, s := range l.subscriptions {
		_ = s.Unsubscribe() // it fails once the connection is closed
	}
}

// Deltas are the pieces of the answer as it is written, of a request with Stream. A new Run
// or Attempt begins the answer again. They end with the request's result, and may have
// gaps: the result is complete by itself. Only one loop gets them. The error is ctx's, or
// that of a subscription.
func (h *Handle) Deltas(ctx context.Context) iter.Seq2[events.Delta, error] {
	return func(yield func(events.Delta, error) bool) {
		if err := h.follow(ctx, yield); err != nil {
			yield(events.Delta{}, err)
		}
	}
}

// follow gives the deltas to a loop until they, the loop or ctx end.
func (h *Handle) follow(ctx context.Context, yield func(events.Delta, error) bool) error {
	live, err := h.listening()
	if err != nil {
		return err
	}
	defer h.Close()
	ended, stop := h.awaited(ctx)
	defer stop()
	for {
		select {
		case m := <-live.messages:
			if !h.pass(m, yield) {
				return nil
			}
		case err := <-ended:
			for err == nil && len(live.messages) > 0 && h.pass(<-live.messages, yield) { // what came before the result was found
				continue
			}
			return err
		}
	}
}

// pass gives a delta to the loop, and returns whether there may be more: the result ends them.
func (h *Handle) pass(m *nats.Msg, yield func(events.Delta, error) bool) (more bool) {
	if m.Subject != h.client.names.Deltas(h.id) {
		return false
	}
	d, err := events.DecodeDelta(m.Data)
	return err != nil || yield(d, nil)
}

// listening returns what comes live, from now on if nothing was received before.
func (h *Handle) listening() (*heard, error) {
	h.mu.Lock()
	live := h.live
	h.mu.Unlock()
	if live != nil {
		return live, nil
	}
	if err := h.hear(); err != nil {
		return nil, err
	}
	return h.listening()
}

// awaited tells when there is a result, in case that it was not heard. The caller calls stop,
// which waits for what this has begun.
func (h *Handle) awaited(ctx context.Context) (ended <-chan error, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		again := h.client.nc.StatusChanged(nats.CONNECTED)
		defer h.client.nc.RemoveStatusListener(again)
		_, err := h.await(ctx, nil, again)
		done <- err
	}()
	return done, func() { cancel(); <-over }
}
