package service

import (
	"context"
	"log/slog"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// cancelBacklog bounds the cancellations that wait for being looked at. One
// that finds no room takes effect when its schedule fires.
const cancelBacklog = 1024

// waitingCancels answers requests that are cancelled while they wait as a
// schedule. Every process hears of a cancellation; the claim lets one of them
// answer. The schedule stays: it fires at its time, and the look-up finds the
// result.
type waitingCancels struct {
	handler *handler
	ids     chan string
}

func newWaitingCancels(h *handler) *waitingCancels {
	return &waitingCancels{handler: h, ids: make(chan string, cancelBacklog)}
}

// heard notes a cancellation. It never waits: it is called where cancellations
// are read.
func (w *waitingCancels) heard(id string) {
	select {
	case w.ids <- id:
	default:
		w.handler.tel.Logger.Debug("too many cancellations at once: this one takes effect when its request comes back", "request_id", id)
	}
}

// run answers what was heard until ctx ends. What is cut off then takes effect
// when the schedule fires.
func (w *waitingCancels) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-w.ids:
			for _, callback := range w.handler.config.Callbacks() {
				w.handler.cancelWaiting(ctx, callback, id)
			}
		}
	}
}

// cancelWaiting answers a request as cancelled if it waits as a schedule and
// nobody works on it.
func (h *handler) cancelWaiting(ctx context.Context, callback, id string) {
	d, err := h.schedules.find(ctx, callback, id)
	if d.Sequence == 0 || err != nil {
		return
	}
	request, _ := h.rules.Decode(d.Body, d.Taken) // what is broken by now is cancelled all the same
	if events.CanonicalID(request.ID) != id || request.CallbackQueue != callback || h.atWork.has(callback, id) {
		return
	}
	// The registry of ids at work is not entered: when the schedule fires in
	// this moment, its message would be acknowledged as a duplicate of work
	// that has no message of its own to come back with.
	claim, state, err := h.claims.take(ctx, callback, id, d)
	if err != nil || state != claimTaken {
		return
	}
	defer claim.release(ctx)
	ctx = telemetry.WithLogAttrs(h.tel.Extract(ctx, d.Header), slog.String("request_id", request.ID))
	if answered, err := h.answered(ctx, d, request); err != nil || answered {
		return
	}
	r := h.conclude(ctx, d, request, failed(events.Cancelled, "The request was cancelled while it waited to be tried again."), upstream.Reply{})
	r.request = request
	h.log(ctx, d, r)
}

// find returns the schedule that waits for a request as if it were delivered,
// the zero value if there is none. The error is ctx's cause.
func (s *schedules) find(ctx context.Context, callback, id string) (delivery, error) {
	m, err := s.broker.last(ctx, s.broker.retries, s.broker.names.Later(callback, id))
	if m == nil || err != nil {
		return delivery{}, err
	}
	return delivery{
		Body: m.Data, Header: m.Header, Stream: s.broker.names.RetriesStream(), Sequence: m.Sequence,
		Stored: m.Time, Taken: time.Now(),
	}, nil
}

// has returns whether this process works on a request.
func (w *atWork) has(callback, id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries[requestKey{callback, id}] != nil
}
