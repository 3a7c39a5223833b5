package service

import (
	"context"
	"errors"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// Of what can neither be answered nor, for now, be kept as a dead letter. It stays
// in its queue, and no slot waits for it.
const (
	keepWithin = 30 * time.Second // how long a slot waits for the dead letters, which may be full or deleted
	keepAgain  = time.Minute      // when it is tried again for the first time, while JetStream knows duplicates
	// keepDoublings is how often that doubles: a request may be paid for anew each time.
	keepDoublings = 10
)

// keepUnusable keeps a message that has no usable id, since no result can name
// it.
func (h *handler) keepUnusable(ctx context.Context, d *bus.Delivery, broken error) *report {
	bounded, cancel := context.WithTimeout(ctx, keepWithin)
	defer cancel()
	return h.keepInstead(bounded, d, &report{outcome: Failed, code: events.InvalidRequest, text: broken.Error()})
}

// keepUnanswerable keeps a request whose result the server refuses in every form
// that it can have. Whatever was paid for its answer is lost, so it is not called
// for again, but for an operator's replay.
func (h *handler) keepUnanswerable(ctx context.Context, j *job, v verdict, refused error) *report {
	h.tel.Logger.ErrorContext(ctx, "no result of a request can be stored: it is kept as a dead letter, and nobody is told. Does the stream of the results have a max_msg_size?",
		"code", v.failure.Code, "error", refused)
	if v.deadLettered {
		_, _ = h.bus.Settle(ctx, j.delivery, bus.End{}) // an acknowledgement has no error
		return &report{outcome: Failed, code: v.failure.Code, text: v.failure.Message, note: "kept as a dead letter: no result could be stored"}
	}
	reason := "No result could be stored (" + refused.Error() + "). It would have been: " + v.failure.Message
	return h.keepInstead(ctx, j.delivery, &report{outcome: Failed, code: events.Internal, text: reason})
}

// keepInstead keeps a message as a dead letter in the place of a result. The
// report is that of a message that was kept.
func (h *handler) keepInstead(ctx context.Context, d *bus.Delivery, r *report) *report {
	settled, err := h.bus.Settle(ctx, d, bus.End{DeadLetter: &bus.DeadLetter{Code: r.code, Reason: r.text}})
	if err == nil {
		h.countDeadLetter(ctx, r.code, settled)
		r.note = "kept as a dead letter"
		return r
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, upstream.ErrStopping) {
		return &report{outcome: Nacked, note: err.Error()}
	}
	again := keepAgain << min(d.Deliveries-1, keepDoublings)
	h.tel.Logger.ErrorContext(ctx, "a message can be neither answered nor kept as a dead letter: it stays in its queue. Is the stream of the dead letters there, and does it have a max_msg_size?",
		"stream", d.Stream, "sequence", d.Sequence, "again_in", again, "error", err)
	return &report{outcome: Nacked, after: again, note: err.Error()}
}
