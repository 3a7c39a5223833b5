package bus

import (
	"context"
	"errors"
	"time"
)

// Ask is the question whether a request may be called for.
type Ask struct {
	Delivery *Delivery
	Callback string
	ID       string    // the request's, in any case
	Deadline time.Time // the request's; zero if it has none
	InFlight *Delivery // another message of this request that this process works on; nil if it does on none
}

// State is the answer to an [Ask].
type State int

// The answers. A delivery is settled whatever the answer is; it says how.
const (
	Admitted    State = iota // call for it
	Cancelled                // somebody cancelled it: no call
	Expired                  // its deadline has passed: no call
	Duplicate                // another message of this request is being answered: acknowledge
	Answered                 // its result is stored: acknowledge
	Rescheduled              // a schedule waits for it: acknowledge
	Busy                     // a live worker holds it: nack, it has to be delivered again
	Interrupted              // ctx has ended: nack
	Unclear                  // NATS refuses to say: nack, it has to be delivered again after a while
)

// Admission is the answer to an [Ask].
type Admission struct {
	State State
	// Starts counts the starts of this queue message that never settled, this one
	// included. It is known of what is Admitted, Cancelled or Expired.
	Starts int
}

// Admit says of each request whether it may be called for now, in the order of
// the questions. A request that is Admitted, Cancelled or Expired is claimed for
// this process until its delivery is settled. NATS being away is waited for, as
// long as ctx lasts.
func (b *Bus) Admit(ctx context.Context, asks ...Ask) []Admission {
	answers := make([]Admission, len(asks))
	for i, ask := range asks {
		answers[i] = b.admit(ctx, ask)
	}
	return answers
}

func (b *Bus) admit(ctx context.Context, ask Ask) Admission {
	d := ask.Delivery
	d.asked = ask
	if ask.InFlight != nil {
		return Admission{State: b.beside(ctx, ask)}
	}
	claim, state, err := b.claim(ctx, ask)
	switch {
	case err != nil:
		return Admission{State: b.unanswered(ctx, err)}
	case state != Admitted:
		return Admission{State: state}
	}
	d.claim = claim
	d.found = b.claimed(ctx, ask)
	switch holds, err := b.Holds(ctx, d); {
	case err != nil:
		return Admission{State: Interrupted}
	case !holds: // while NATS was away
		return Admission{State: b.busy(ctx, ask)}
	}
	return Admission{State: d.found, Starts: claim.state().says.Starts}
}

// claim claims a request, unless it has its result or somebody else's claim.
func (b *Bus) claim(ctx context.Context, ask Ask) (*claim, State, error) {
	claim, err := b.rounds.take(ctx, ask)
	if !errors.Is(err, errConflict) {
		return claim, Admitted, err
	}
	if answered, err := b.results.answered(ctx, ask.Delivery, ask.Callback, ask.ID); answered || err != nil {
		return nil, Answered, err
	}
	return b.claims.takeOver(ctx, ask.Callback, ask.ID, ask.Delivery)
}

// Holds reports whether a request that was admitted is still this process's: while
// this was cut off NATS, another may have taken it over. It asks NATS only if the
// heartbeat had a gap. What is lost is counted and logged. Errors: ErrRefused, ctx's
// cause.
func (b *Bus) Holds(ctx context.Context, d *Delivery) (bool, error) {
	if d.claim == nil {
		return true, nil
	}
	kept, expired, err := b.claims.keep(ctx, d.claim)
	if err == nil && expired { // others may have answered it
		var answered bool
		answered, err = b.results.answered(ctx, d, d.asked.Callback, d.asked.ID)
		kept = kept && !answered
	}
	if err == nil && !kept {
		b.claims.letGo(d.claim)
		d.claim = nil
	}
	return kept, err
}

// unanswered is the answer where NATS gave none: because ctx has ended, or because
// it refuses to.
func (b *Bus) unanswered(ctx context.Context, err error) State {
	if ctx.Err() != nil {
		return Interrupted
	}
	b.claims.streams.refusals.say("requests go back to their queue, because NATS refuses to have them claimed or looked up", err)
	return Unclear
}

// beside is the answer of a message whose request this very process works on.
func (b *Bus) beside(ctx context.Context, ask Ask) State {
	if state := yield(ask.InFlight.Stream, ask.InFlight.Sequence, ask.Delivery); state != Busy {
		return state
	}
	return b.busy(ctx, ask)
}

// busy is the answer of a message whose request is worked on, and which must not
// be settled before that has ended.
func (b *Bus) busy(ctx context.Context, ask Ask) State {
	if answered, err := b.results.answered(ctx, ask.Delivery, ask.Callback, ask.ID); err == nil && answered {
		return Answered
	}
	return Busy
}

// claimed looks for what speaks against a call for a request that is claimed.
func (b *Bus) claimed(ctx context.Context, ask Ask) State {
	if !ask.Delivery.claim.unanswered {
		answered, err := b.results.answered(ctx, ask.Delivery, ask.Callback, ask.ID)
		switch {
		case err != nil:
			return b.unanswered(ctx, err)
		case answered:
			return Answered
		}
	}
	if d := ask.Delivery; !d.claim.first { // else its schedule would have left a mark
		waiting, err := b.schedules.waiting(ctx, d, ask.Callback, ask.ID)
		switch {
		case err != nil:
			return b.unanswered(ctx, err)
		case waiting:
			return Rescheduled
		}
	}
	cancelled, err := b.cancels.has(ctx, cancellation{ask.Delivery.Scope(), ask.ID})
	switch {
	case err != nil:
		return b.unanswered(ctx, err)
	case cancelled:
		return Cancelled
	case !ask.Deadline.IsZero() && !ask.Deadline.After(time.Now()):
		return Expired
	}
	return Admitted
}

// Waiting returns the request of this id that waits as a schedule on a callback,
// as if it were delivered; nil if there is none. It has nothing to acknowledge,
// and is admitted and settled like a delivery: what would acknowledge it removes
// the schedule. Errors: ErrRefused, ctx's cause.
func (b *Bus) Waiting(ctx context.Context, callback, id string) (*Delivery, error) {
	d, err := b.schedules.find(ctx, callback, id)
	if d != nil {
		d.isolate(b.tenants)
	}
	return d, err
}
