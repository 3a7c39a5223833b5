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

// Settle ends a delivery: it keeps what is to be kept, leaves the claim and
// acknowledges or nacks the message; a request that waits as a schedule is
// acknowledged by removing that. It waits for NATS for as long as it takes.
// Errors: ErrTooLarge and ErrRefused, one of a schedule whose request another worker
// has taken over, ctx's cause. After an error the delivery is
// not settled, nothing of it is acknowledged, and it has to be settled in another
// way. A dead letter that is refused is an error only where it is all that would be
// kept.
func (b *Bus) Settle(ctx context.Context, d *Delivery, end End) (Settled, error) {
	s, err := b.keep(ctx, d, end)
	if err != nil {
		return s, err
	}
	b.part(ctx, d, end, s.Stored)
	switch {
	case d.stays, d.slot == nil && end.Nack:
	case d.slot == nil:
		b.schedules.remove(ctx, d)
	case end.Nack:
		d.slot.nack(ctx, end.After)
	default:
		d.slot.ack(ctx)
	}
	return s, nil
}

// part leaves in the place of a delivery's claim what the next one has to know. A
// completed result says all that there is to know. A failed one may be replayed, which
// has not to wait until the claim ends; and if another result was first, so may
// another's claim have been.
func (b *Bus) part(ctx context.Context, d *Delivery, end End, stored bool) {
	held := d.claim
	if d.claim = nil; held == nil {
		return
	}
	answered := stored && end.Result.Status == events.StatusSuccess
	waits := end.Schedule != nil || end.Result == nil && (d.found == Rescheduled || end.Nack && d.slot == nil && !d.stays)
	switch {
	case end.Nack && end.Crashed:
		b.claims.leave(ctx, held, markCrashed, remembered)
	case waits:
		b.claims.leave(ctx, held, markLater, outlasting(d.due))
	case end.Nack:
		b.claims.leave(ctx, held, markReturned, remembered)
	case answered && held.state().life <= b.claims.ttl && held.outlasts(time.Now()):
		b.claims.letGo(held)
	default:
		b.claims.leave(ctx, held, markSettled, b.claims.ttl)
	}
}

// outlasting is how long what is known of a request is kept that waits until then.
func outlasting(due time.Time) time.Duration { return max(0, time.Until(due)) + remembered }

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
		return s, b.reschedule(ctx, d, *end.Schedule)
	}
	return s, nil
}

// reschedule stores a schedule, and then the mark of a request that waits for a batch:
// whoever finds the mark finds the request. Before that it makes sure of the claim,
// since a schedule would replace that of the worker which has taken the request over;
// and has it last as long as the schedule, which is looked for only where a claim is.
func (b *Bus) reschedule(ctx context.Context, d *Delivery, s Schedule) error {
	if d.claim == nil {
		return errTakenOver
	}
	d.due = s.At
	if err := b.claims.replace(ctx, d.claim, mark{d.claim.state().says, outlasting(s.At)}); err != nil {
		return err
	}
	if d.Tick != "" {
		return b.tickBy(ctx, d.Tick, s.At)
	}
	if err := b.schedules.put(ctx, d, s); err != nil || s.Enrol == nil {
		return err
	}
	return b.Enrol(ctx, *s.Enrol)
}
