package service

import (
	"context"
	"fmt"

	"gemini-client/service/bus"
)

func (h *handler) admit(ctx context.Context, j *job, other *bus.Delivery) bus.Admission {
	r := &j.request
	return h.bus.Admit(ctx, bus.Ask{
		Delivery: j.delivery, Callback: r.CallbackQueue, ID: r.ID, Deadline: r.Deadline, InFlight: other,
	})[0]
}

// turnedAway ends a delivery that was not admitted; nil if it was, if only to be told
// that it is cancelled or too late.
func (h *handler) turnedAway(ctx context.Context, j *job, a bus.Admission) *report {
	switch a.State {
	case bus.Duplicate:
		return h.duplicate(ctx, j.delivery, "another message with this request is being answered")
	case bus.Answered:
		return h.duplicate(ctx, j.delivery, noteAnswered)
	case bus.Rescheduled:
		return h.rescheduled(ctx, j)
	case bus.Busy:
		return &report{outcome: Nacked, after: busyDelay, note: "another worker is answering it"}
	case bus.Interrupted:
		return &report{outcome: Nacked, note: fmt.Sprint(context.Cause(ctx))}
	case bus.Unclear:
		return &report{outcome: Nacked, after: unclearDelay, note: "NATS refuses to say whether it may be called for"}
	case bus.Admitted, bus.Cancelled, bus.Expired:
	}
	return nil
}
