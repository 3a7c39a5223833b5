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
	ids     chan string
	missed  chan struct{} // some may have been
}

func newCancelledWaiting(h *handler) *cancelledWaiting {
	return &cancelledWaiting{handler: h, ids: make(chan string, cancelBacklog), missed: make(chan struct{}, 1)}
}

// add cancels the calls for a request and queues its id for run. It never
// blocks: it is called where cancellations are read.
func (w *cancelledWaiting) add(id string) {
	w.handler.inFlight.cancel(id, upstream.ErrCancelled)
	select {
	case w.ids <- id:
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
	for _, id := range w.handler.inFlight.ids() {
		if cancelled, err := w.handler.bus.IsCancelled(ctx, id); err != nil {
			return // we are stopping
		} else if cancelled {
			w.handler.inFlight.cancel(id, upstream.ErrCancelled)
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
		case id := <-w.ids:
			for _, callback := range w.handler.queue.Callbacks() {
				w.handler.cancelWaiting(ctx, callback, id)
			}
		}
	}
}

// cancelWaiting answers a request as cancelled if it waits as a schedule and
// no worker has it in flight. It is not entered into the registry of requests in
// flight: a message whose schedule fires in this moment would be acknowledged as a
// duplicate of work that has no message of its own to be redelivered.
func (h *handler) cancelWaiting(ctx context.Context, callback, id string) {
	d, err := h.bus.Waiting(ctx, callback, id)
	if d == nil || err != nil {
		return
	}
	j := h.read(ctx, d)
	if events.CanonicalID(j.request.ID) != id || j.request.CallbackQueue != callback || h.inFlight.has(callback, id) {
		return
	}
	ctx = withRequestID(h.tel.Extract(ctx, d.Header), j.request.ID)
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
