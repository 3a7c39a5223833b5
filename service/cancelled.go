package service

import (
	"context"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// cancelBacklog bounds the cancellations that wait to be looked up. One more
// than that takes effect when the schedule of its request fires.
const cancelBacklog = 1024

// cancelledWaiting answers requests that are cancelled while they wait as a
// schedule. Every worker receives a cancellation; the claim lets one of them
// answer, which also removes the schedule.
type cancelledWaiting struct {
	handler *handler
	names   events.Names
	due     chan cancellation
	missed  chan struct{} // some may have been
}

// cancellation names the request that is cancelled: by its id, and by its tenant if that
// is isolated, else "".
type cancellation struct{ tenant, id string }

func newCancelledWaiting(h *handler) *cancelledWaiting {
	return &cancelledWaiting{handler: h, names: h.rules.Names, due: make(chan cancellation, cancelBacklog), missed: make(chan struct{}, 1)}
}

// add cancels the calls for a request and queues it for run. It never blocks: it is called
// where cancellations are read.
func (w *cancelledWaiting) add(tenant, id string) {
	one := cancellation{tenant, id}
	w.handler.inFlight.cancel(one, upstream.ErrCancelled)
	select {
	case w.due <- one:
	default:
		w.handler.tel.Logger.Debug("too many cancellations at once: this one takes effect when its schedule fires", "request_id", id)
	}
}

// resumed has the requests in flight looked up again: their cancellations are not
// heard while NATS is away. It never blocks.
func (w *cancelledWaiting) resumed() {
	select {
	case w.missed <- struct{}{}:
	default: // a look is due already
	}
}

// catchUp cancels the calls whose requests were cancelled unheard.
func (w *cancelledWaiting) catchUp(ctx context.Context) {
	for _, one := range w.handler.inFlight.all() {
		if cancelled, err := w.handler.bus.IsCancelled(ctx, one.tenant, one.id); err != nil {
			return // we are stopping
		} else if cancelled {
			w.handler.inFlight.cancel(one, upstream.ErrCancelled)
		}
	}
}

// run answers the queued cancellations until ctx ends. What is still queued then
// takes effect when its schedule fires.
func (w *cancelledWaiting) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.missed:
			w.catchUp(ctx)
		case one := <-w.due:
			for _, callback := range w.callbacks(one.tenant) {
				w.handler.cancelWaiting(ctx, callback, one)
			}
		}
	}
}

// callbacks are those on which a cancelled request may wait to be answered.
func (w *cancelledWaiting) callbacks(tenant string) []string {
	if tenant == "" {
		return w.handler.queue.Callbacks()
	}
	return []string{w.names.Of(tenant).ResponseQueue}
}

// cancelWaiting answers a request as cancelled if it waits as a schedule and
// no worker has it in flight. It is not entered into the registry of requests in
// flight: a message whose schedule fires in this moment would be acknowledged as a
// duplicate of work that has no message of its own to be redelivered.
func (h *handler) cancelWaiting(ctx context.Context, callback string, one cancellation) {
	d, err := h.bus.Waiting(ctx, callback, one.id)
	if d == nil || err != nil || d.Scope() != one.tenant {
		return
	}
	j := h.read(ctx, d)
	if events.CanonicalID(j.request.ID) != one.id || j.request.CallbackQueue != callback || h.inFlight.has(callback, one.id) {
		return
	}
	ctx = withRequest(h.tel.Extract(ctx, d.Header), j)
	switch h.bus.Admit(ctx, bus.Ask{Delivery: d, Callback: callback, ID: j.request.ID})[0].State {
	case bus.Admitted, bus.Cancelled, bus.Rescheduled:
		r := h.conclude(ctx, j, new(failed(events.Cancelled, "The request was cancelled while it waited to be tried again."))) // also of what is broken by now
		r.job = j
		h.nack(ctx, d, r)
		r.record(ctx, h.tel)
	case bus.Answered: // by somebody who could not remove the schedule
		_, _ = h.bus.Settle(ctx, d, bus.End{})
	case bus.Busy, bus.Duplicate, bus.Expired, bus.Interrupted, bus.Unclear:
		_, _ = h.bus.Settle(ctx, d, bus.End{Nack: true}) // it goes on waiting
	}
}
