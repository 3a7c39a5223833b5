package service

import (
	"context"
	"errors"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// Of what is too large for a message. A request's object is fetched when nothing else
// speaks against a call, so its bytes are in memory as long as the call and no longer. If it
// was read, it goes when the request is settled; as long as a dead letter or a schedule refers to
// it, it stays.

// storeWait is when a request is tried again for whose object store nobody answers.
const storeWait = 30 * time.Second

var errDeadline = errors.New("the request's deadline has passed")

// fetch completes a request whose prompt is an object. It returns the verdict on one that
// cannot be called for; false for all others. What ended ctx itself is looked at by
// the caller.
func (h *handler) fetch(ctx context.Context, j *job) (verdict, bool) {
	ref := j.request.BodyRef
	if ref == nil {
		return verdict{}, false
	}
	if deadline := j.request.Deadline; !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline, errDeadline)
		defer cancel()
	}
	object, err := h.bus.Body(ctx, j.delivery, *ref)
	if j.fetched = err == nil; j.fetched {
		j.request, err = j.request.WithBody(object)
	}
	var failure events.Failure
	switch {
	case err == nil:
		return verdict{}, false
	case errors.As(err, &failure):
		return failed(failure.Code, failure.Message), true
	case errors.Is(err, bus.ErrNoBody):
		return failed(events.InvalidRequest, "body_ref: "+err.Error()+". Put the object again and send the request under a new request_id."), true
	case errors.Is(err, bus.ErrNoAnswer):
		return judgeError(&upstream.Error{Code: events.Internal, Message: "Nobody answers for the object store of large bodies.", Heals: upstream.Later, Wait: storeWait}, h.situation(j)), true
	case errors.Is(err, errDeadline):
		return failed(events.DeadlineExceeded, "The request's deadline passed before its prompt was fetched."), true
	case errors.Is(err, upstream.ErrCancelled):
		return failed(events.Cancelled, "The request was cancelled."), true
	}
	return failed(events.Internal, "body_ref: the service could not fetch the object; its operators have the details."), true
}

// refer has a completed result that is too large for a message be an object, if the
// bucket takes it: whatever was paid for is not lost. It is tried once. The object is
// there before the event that refers to it; whoever dies in between leaves it to the age
// limit.
func (h *handler) refer(ctx context.Context, j *job, v *verdict) (done bool) {
	if v.outcome != Completed || v.referred {
		return false
	}
	v.referred = true
	panicked := h.guard(ctx, func() {
		large := v.result(j)
		body, err := large.Encode()
		if err != nil || len(body) > events.MaxBody {
			return
		}
		ref, err := h.bus.PutResult(ctx, j.request.ID, body)
		if err != nil {
			h.tel.Logger.WarnContext(ctx, "a result is too large for a message, and cannot be put into the object store either", "bytes", len(body), "error", err)
			return
		}
		j.large, j.stored, done = &large, &ref, true
	})
	v.stored = done && !panicked
	return v.stored
}

// referring is the event of a result that an object holds.
func (v verdict) referring(j *job) events.Result {
	r := *j.large
	r.Content, r.ResultRef = nil, j.stored
	if v.withoutReasoning {
		r.Reasoning = nil
	}
	if v.withoutTools {
		r.ToolCalls = nil
	}
	if v.withoutMetadata {
		r.Metadata = nil
	}
	return r
}

// lighter is the verdict whose event, too large as well, refers to its result and leaves
// more to it; false if there is nothing left.
func (v verdict) lighter() (verdict, bool) {
	switch {
	case !v.withoutReasoning && v.answer.Reasoning != "":
		v.withoutReasoning = true
	case !v.withoutTools && len(v.answer.ToolCalls) > 0:
		v.withoutTools = true
	case !v.withoutMetadata:
		v.withoutMetadata = true
	default:
		return v, false
	}
	return v, true
}

// dropBodies deletes the objects that nobody needs any more, when the message is
// acknowledged: the request's, with the result that is stored and cannot be replayed; and
// a result's that is not the one. An object that was not read stays to the age limit: all
// tenants share the bucket, and only who knows the digest of an object has put it.
func (h *handler) dropBodies(ctx context.Context, j *job, v verdict, settled bus.Settled) {
	if j.stored != nil && (v.outcome != Completed || !settled.Stored) {
		h.bus.DropBody(ctx, j.stored.Name)
	}
	if ref := j.request.BodyRef; ref != nil && j.fetched && settled.Stored && !v.deadLettered {
		h.bus.DropBody(ctx, ref.Name)
	}
}
