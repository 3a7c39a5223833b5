package bus

import (
	"context"
	"errors"
	"time"

	"gemini-client/events"
)

// End is how a delivery ends. What is kept is kept in the order of the fields,
// and before the message is acknowledged. The zero value acknowledges it.
type End struct {
	DeadLetter *DeadLetter    // keeps the original
	Result     *events.Result // stores the request's result
	Schedule   *Schedule      // has the original delivered again at a time

	// Nack returns the message to its queue instead: it is delivered again after
	// that time, at once if that is 0.
	Nack  bool
	After time.Duration
	// Crashed counts a nacked start as one that never settled, as if the process had
	// died of it.
	Crashed bool
}

// errNotAdmitted is a fault of the caller: a result or a schedule of a request that
// was not admitted has no subject.
var errNotAdmitted = errors.New("the delivery was not admitted")

// Settled says what became of an [End].
type Settled struct {
	Stored       bool // the result is the one that is stored; false if another one was first
	DeadLettered bool // the dead letter is stored; false if the server refused it
}

// Settle ends a delivery: it keeps what is to be kept, releases the claim and
// acknowledges or nacks the message; a request that waits as a schedule is
// acknowledged by removing that. It waits for NATS for as long as it takes.
// Errors: ErrTooLarge and ErrRefused, ctx's cause. After an error the delivery is
// not settled, nothing of it is acknowledged, and it has to be settled in another
// way. A dead letter that is refused is an error only where it is all that would be
// kept.
func (b *Bus) Settle(ctx context.Context, d *Delivery, end End) (Settled, error) {
	s, err := b.keep(ctx, d, end)
	if err != nil {
		return s, err
	}
	if end.Nack && end.Crashed {
		b.claims.abandon(ctx, d.claim)
	} else {
		b.heartbeat.release(ctx, d.claim)
	}
	d.claim = nil
	switch {
	case d.slot == nil && end.Nack:
	case d.slot == nil:
		b.schedules.remove(ctx, d)
	case end.Nack:
		d.slot.nack(ctx, end.After)
	default:
		d.slot.ack(ctx)
	}
	return s, nil
}

// keep stores what is to be kept of an end, in its order.
func (b *Bus) keep(ctx context.Context, d *Delivery, end End) (s Settled, err error) {
	if (end.Result != nil || end.Schedule != nil) && d.asked.Delivery == nil {
		return s, errNotAdmitted
	}
	if end.DeadLetter != nil {
		err := b.deadletters.put(ctx, d, *end.DeadLetter)
		if err != nil && (end.Result == nil || !Refused(err)) {
			return s, err
		}
		if s.DeadLettered = err == nil; err != nil {
			b.tel.Logger.ErrorContext(ctx, "a failed request is answered, but its original is not kept: it cannot be replayed", "code", end.DeadLetter.Code, "error", err)
		}
	}
	if end.Result != nil {
		if s.Stored, err = b.results.publish(ctx, d.asked.Callback, *end.Result, d.Follows); err != nil {
			return s, err
		}
	}
	if end.Schedule != nil {
		return s, b.schedules.put(ctx, d, *end.Schedule)
	}
	return s, nil
}
