package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// Handle is one request. It is safe for concurrent use.
type Handle struct {
	client   *Client
	id       string
	callback string

	mu   sync.Mutex
	live *heard // deltas and the result as they are published; nil without
}

// Open returns the handle of a request that was submitted before, by this process or
// another, on the client's callback. It asks nothing: an id that nobody has submitted has
// no result, and waits for one.
func (c *Client) Open(id string) (*Handle, error) {
	if !events.ValidID(id) {
		return nil, fmt.Errorf("the request's id is %q: want a UUID", id)
	}
	return c.open(id, ""), nil
}

func (c *Client) open(id, callback string) *Handle {
	if callback == "" {
		callback = c.callback
	}
	return &Handle{client: c, id: id, callback: callback}
}

// ID is the request's id. Whoever keeps it can open the request again.
func (h *Handle) ID() string { return h.id }

// Cancel has the service drop the request, or end its call, and returns when NATS has
// stored that. Its result is failed, cancelled, unless it was completed before.
// Errors: ErrNotAllowed, ErrNoService, ErrUnknown, ctx's.
func (h *Handle) Cancel(ctx context.Context) error {
	c := h.client
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, submitTime)
		defer cancel()
	}
	return c.publish(ctx, &nats.Msg{Subject: c.names.Cancel(h.id), Header: nats.Header{}}, "")
}

// Close stops receiving deltas. A handle without Stream need not be closed.
func (h *Handle) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live != nil {
		h.live.close()
		h.live = nil
	}
}

// Stored returns the request's result if there is one, and does not wait for it; else
// there is false. A failed one is returned beside a [FailedError], one whose content cannot
// be read beside ErrNoBody. Errors: ErrNotAllowed, ErrNoResults, ctx's, NATS's own where it
// is away.
func (h *Handle) Stored(ctx context.Context) (r events.Result, there bool, err error) {
	ctx, stop := h.client.denials.during(ctx, h.getSubject())
	defer stop()
	m, err := h.stored(ctx)
	switch {
	case ctx.Err() != nil:
		return r, false, context.Cause(ctx)
	case errors.Is(err, nats.ErrNoResponders):
		return r, false, fmt.Errorf("%w (%w)", ErrNoResults, err)
	case err != nil || m == nil:
		return r, false, err
	}
	r, err = h.client.decode(ctx, m)
	return r, true, err
}

// Result waits for the request's result and returns it. A failed one is returned beside a
// [FailedError], one whose content cannot be read beside ErrNoBody. Errors: ErrNotAllowed,
// ErrNoResults, ctx's; ErrNoBodies or NATS's own where the content cannot be read yet.
func (h *Handle) Result(ctx context.Context) (events.Result, error) {
	c := h.client
	ctx, stop := c.denials.during(ctx, h.getSubject())
	defer stop()
	heard := make(chan *nats.Msg, 16)
	live, err := c.nc.ChanSubscribe(events.AnyResult(h.callback, h.id), heard)
	if err != nil {
		return events.Result{}, err
	}
	defer live.Unsubscribe() //nolint:errcheck // the connection is closed, then
	again := c.nc.StatusChanged(nats.CONNECTED)
	defer c.nc.RemoveStatusListener(again)
	m, err := h.await(ctx, heard, again)
	if err != nil {
		return events.Result{}, fmt.Errorf("request %s has no result yet: %w", h.id, err)
	}
	return c.decode(ctx, m)
}
