package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/bus"
)

// batching has requests with tier batch wait for OpenRouter's Batch API.
type batching struct {
	bus      batchBus
	on       bool // requests are taken into batches; those under way are looked after in any case
	runner   *batch.Runner
	budgeted func(tenant string) bool // whether what a tenant's calls cost is reserved in a budget
	longest  time.Duration            // that one schedule may wait; 0: any
	ticks    chan struct{}            // holds one for each tick that is looked after
}

// ticksAtOnce is how many of the slots ticks may take: OpenRouter's batches may not
// answer, or be very many, and the other requests are answered all the same.
func ticksAtOnce(slots int) int { return max(1, slots/4) }

// enrolment is how a request that is rescheduled waits for a batch.
type enrolment struct {
	state events.BatchState
	again bool      // it did before: it is marked already
	tick  time.Time // when its group is looked after, unless it is sooner
}

// forBatch returns the verdict on a request that is to wait for a batch, or that must
// not be answered in another way; false if it is called for.
func (h *handler) forBatch(ctx context.Context, j *job) (verdict, bool) {
	r, state := j.request, events.Batch(j.delivery.Header)
	if r.Tier != events.TierBatch || state.Tried || j.delivery.Follows != 0 {
		return verdict{}, false
	}
	now := time.Now()
	if state.Group != "" { // its schedule has fired, which is its safety net
		if now.Sub(state.Since) < batch.RequestLongest {
			return h.batch.wait(r, now, enrolment{state: state, again: true}), true
		}
		return notBatched(r, events.UpstreamTimeout, "OpenRouter's Batch API did not answer within "+batch.RequestLongest.String())
	}
	if code, why := h.batch.refuses(ctx, r, now); why != "" {
		h.tel.Logger.DebugContext(ctx, "a request is not sent in a batch", "why", why, "fallback", r.TierFallback)
		return notBatched(r, code, "OpenRouter's Batch API does not take this request: "+why)
	}
	state = events.BatchState{Group: batch.Group(r), Since: now}
	return h.batch.wait(r, now, enrolment{state: state, tick: h.batch.runner.FirstTick()}), true
}

// refuses returns why a request is not sent in a batch; "" if it is. That its stream is
// not there may pass, and is not the request's fault.
func (b *batching) refuses(ctx context.Context, r events.Request, now time.Time) (code events.Code, why string) {
	why = r.NotForBatch(now)
	switch {
	case b == nil || !b.on:
		why = "the service sends no batches (BATCH_MAX_WAIT)"
	case why != "":
	case b.isBudgeted(r.Tenant):
		why = "there is a budget, and what a batch costs cannot be reserved"
	case b.runner.Refused(r.Model):
		why = "it has just refused a batch of this model"
	case !b.bus.BatchReady(ctx):
		return events.Internal, "the service has no stream for batches"
	}
	return events.InvalidRequest, why
}

// isBudgeted reports whether what a tenant's calls cost is reserved.
func (b *batching) isBudgeted(tenant string) bool { return b.budgeted != nil && b.budgeted(tenant) }

// notBatched is what becomes of a request that no batch answers: nothing, so that it is
// called for, or its failure.
func notBatched(r events.Request, code events.Code, why string) (verdict, bool) {
	if r.TierFallback {
		return verdict{}, false
	}
	return failed(code, why+"; tier_fallback is false, so it is not answered in the ordinary way."), true
}

// wait has a request wait as a schedule that no more than guards it: a result comes
// sooner.
func (b *batching) wait(r events.Request, now time.Time, e enrolment) verdict {
	at := e.state.Since.Add(batch.RequestLongest)
	if b.longest > 0 {
		at = earlier(at, now.Add(b.longest))
	}
	if !r.Deadline.IsZero() {
		at = earlier(at, r.Deadline)
	}
	return verdict{
		outcome: Rescheduled, free: true, at: at, batch: &e,
		failure: events.Failure{Code: events.PayloadTooLarge, Message: "The request cannot wait for a batch."}, // if the schedule is refused
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// schedule is that of a request that waits for a batch.
func (e enrolment) schedule(j *job, s *bus.Schedule) {
	s.Header[events.HeaderBatch] = e.state.String()
	if e.again {
		return
	}
	n, _ := events.RetryCount(j.delivery.Header)
	s.Enrol = &bus.Enrolment{Tick: e.tick, Mark: bus.Mark{
		Group: e.state.Group, Callback: j.request.CallbackQueue, ID: events.CanonicalID(j.request.ID), Retries: n, Bytes: len(j.delivery.Body),
	}}
}

// enrolled counts a request whose schedule is stored.
func (h *handler) enrolled(ctx context.Context, j *job, v verdict) {
	if v.batch != nil && !v.batch.again {
		h.tel.Instruments.BatchItem(ctx, "waiting")
		h.batch.runner.Enrolled(ctx, v.batch.state.Group, len(j.delivery.Body))
	}
}

// rescheduled deals with a message whose request waits as a schedule. A worker may have
// died when it had stored the schedule and not yet the mark.
func (h *handler) rescheduled(ctx context.Context, j *job) *report {
	const note = "already rescheduled"
	if j.request.Tier != events.TierBatch || j.broken != nil || h.batch == nil {
		return h.duplicate(ctx, j.delivery, note)
	}
	d, err := h.bus.Waiting(ctx, j.request.CallbackQueue, j.request.ID)
	if err != nil {
		return &report{outcome: Nacked, after: busyDelay, note: err.Error()}
	}
	if d == nil {
		return h.duplicate(ctx, j.delivery, note)
	}
	if state := events.Batch(d.Header); state.Group != "" && h.batch.on {
		if !h.batch.bus.BatchReady(ctx) {
			return &report{outcome: Nacked, after: unclearDelay, note: "it waits for a batch and cannot be marked: its stream is not there"}
		}
		var s bus.Schedule
		s.Header = map[string]string{}
		enrolment{state: state, tick: h.batch.runner.FirstTick()}.schedule(&job{delivery: d, request: j.request}, &s)
		if err := h.batch.bus.Enrol(ctx, *s.Enrol); err != nil {
			return &report{outcome: Nacked, after: unclearDelay, note: err.Error()}
		}
	}
	return h.duplicate(ctx, j.delivery, note)
}

// revive makes up for ticks that were lost before this process began.
func (b *batching) revive(ctx context.Context, log *slog.Logger) {
	for {
		kept, err := b.bus.BatchesKept(ctx)
		if kept {
			err = b.runner.Revive(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		log.DebugContext(ctx, "batches could not be looked through for what nobody looks after, it is tried again", "error", err)
		select {
		case <-time.After(reviveRetry):
		case <-ctx.Done():
		}
	}
}

// reviveRetry is when batches are looked through again that could not be.
const reviveRetry = time.Minute

// tickBusy and tickAgain are after which time a tick is delivered again that another
// worker looks after, or that could not be done.
const (
	tickBusy  = time.Second
	tickAgain = 10 * time.Second
	// tickStarts is how often a tick may be started without an end before it waits.
	tickStarts = 4
	tickRest   = 10 * time.Minute
)

// tick looks after a group or a batch.
func (h *handler) tick(ctx context.Context, d *bus.Delivery) {
	d.Arrived() // it is no request, and comes to no limit
	nack := func(after time.Duration) { _, _ = h.batch.bus.Settle(ctx, d, bus.End{Nack: true, After: after}) }
	select {
	case h.batch.ticks <- struct{}{}:
		defer func() { <-h.batch.ticks }()
	default:
		nack(tickAgain)
		return
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leave, other := h.inFlight.enter("", d.Tick, call{d, cancel})
	defer leave()
	if other != nil {
		nack(tickBusy)
		return
	}
	a := h.batch.bus.AdmitTick(ctx, d)
	if a.State != bus.Admitted {
		nack(tickBusy)
		return
	}
	var next time.Time
	var err error
	if a.Starts > tickStarts {
		next = time.Now().Add(tickRest)
		h.tel.Logger.ErrorContext(ctx, "a batch was looked after again and again and that never came to an end", "name", d.Tick, "starts", a.Starts)
	} else if h.guard(ctx, func() { next, err = h.batch.runner.Tick(work, d.Tick) }) || errors.Is(err, errPanicked) {
		_, _ = h.batch.bus.Settle(ctx, d, bus.End{Nack: true, After: tickAgain, Crashed: true})
		return
	}
	if err != nil {
		h.tel.Logger.WarnContext(ctx, "a batch could not be looked after, it is tried again", "name", d.Tick, "error", err)
		nack(tickAgain)
		return
	}
	var end bus.End
	if !next.IsZero() {
		end.Schedule = &bus.Schedule{At: next}
	}
	if _, err := h.batch.bus.Settle(ctx, d, end); err != nil {
		nack(tickAgain)
	}
}
