package service

import (
	"context"
	"errors"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// busyDelay is after which time a message is delivered again whose request
// another live worker holds the claim of.
const busyDelay = time.Second

// unclearDelay is after which time a message is delivered again that NATS refused
// to have claimed.
const unclearDelay = time.Minute

// noteAnswered is what the log says of a message whose request has its result.
const noteAnswered = "already answered"

// handler takes one delivery from its bytes to its stored result.
type handler struct {
	rules         events.Rules
	decode        decoder // events.Rules.Decode
	queue         config.Queue
	maxCrashLoops int
	longestWait   time.Duration // of a rescheduled request; 0: any
	bus           messageBus
	upstream      answerer
	inFlight      *inFlight
	batch         *batching
	tenants       *tenant.Registry // declared; nil: none is
	tel           *telemetry.Telemetry
}

// deliver handles one delivery and records what became of it.
func (h *handler) deliver(ctx context.Context, d *bus.Delivery) {
	if d.Tick != "" {
		h.tick(ctx, d)
		return
	}
	ctx, span := h.startProcess(ctx, d)
	h.tel.Instruments.InFlight(ctx, 1)
	defer h.tel.Instruments.InFlight(ctx, -1)
	var r *report
	defer func() {
		if r == nil {
			r = &report{job: &job{delivery: d}, outcome: Nacked, code: events.Internal, text: "a delivery made the service panic"}
		}
		r.record(ctx, h.tel)
		r.describe(span)
	}()
	r = h.handle(ctx, d)
}

func (h *handler) startProcess(ctx context.Context, d *bus.Delivery) (context.Context, *telemetry.Span) {
	return h.tel.StartProcess(h.tel.Extract(ctx, d.Header), telemetry.ProcessInfo{
		Tenant: d.Tenant, Destination: d.Queue, Consumer: bus.Durable, Stream: d.Stream, StreamSequence: d.Sequence, DeliveryCount: d.Deliveries,
		Stored: d.Stored, Taken: d.Taken,
	})
}

// handle reads a delivery, asks whether its request may be called for, and
// settles it.
func (h *handler) handle(ctx context.Context, d *bus.Delivery) *report {
	j := h.read(ctx, d)
	ctx = withRequest(ctx, j)
	var r *report
	if errors.Is(j.broken, events.ErrNoID) {
		r = h.keepUnusable(ctx, d, j.broken)
	} else {
		r = h.answer(ctx, j)
	}
	r.job = j
	h.nack(ctx, d, r)
	return r
}

// answer admits one delivery of a request at a time, calls upstream where nothing
// speaks against it, and stores the verdict.
func (h *handler) answer(ctx context.Context, j *job) *report {
	request := &j.request
	calls, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leave, other := h.inFlight.enter(request.CallbackQueue, events.CanonicalID(request.ID), call{delivery: j.delivery, cancel: cancel})
	defer leave()
	a := h.admit(ctx, j, other)
	if r := h.turnedAway(ctx, j, a); r != nil {
		return r
	}
	j.starts = a.Starts
	h.decide(h.lookingAgain(calls, j, cancel), j, a)
	switch cause := context.Cause(calls); {
	case j.verdict.answer != nil: // it is paid for
	case errors.Is(cause, errTaken), h.taken(ctx, j.delivery):
		return &report{outcome: Nacked, after: busyDelay, note: errTaken.Error()}
	case errors.Is(cause, upstream.ErrStopping):
		return h.handBack(ctx, j, cause)
	case j.verdict.outcome == Nacked:
		return &report{outcome: Nacked, after: j.verdict.after, note: j.verdict.failure.Message}
	}
	return h.conclude(ctx, j, &j.verdict)
}

// handBack returns the request of a worker that stops. A nack has no room for what
// was billed meanwhile, nor for an answer that did not come in time: then a schedule
// that is due at once takes its place.
func (h *handler) handBack(ctx context.Context, j *job, cause error) *report {
	r := &report{outcome: Nacked, note: cause.Error()}
	if j.reply.Usage.Bill.Empty() && !j.reply.TimedOut {
		return r
	}
	v := verdict{outcome: Rescheduled, free: true, timedOut: j.reply.TimedOut, at: time.Now()}
	if _, err := h.bus.Settle(ctx, j.delivery, v.end(j)); err == nil {
		r.outcome, r.at = v.outcome, v.at
	}
	return r
}

// lookTime bounds the look before a repeated attempt and before a failure. If NATS is away the call goes
// on: it has been paid for in part, and is looked at when NATS is back.
const lookTime = 2 * time.Second

// errTaken ends a call whose request another worker has taken over. Unless there is an
// answer, the result is that one's, and so is the schedule: a second one would replace it.
var errTaken = errors.New("another worker has taken it over")

// lookingAgain has a call look, before each attempt after its first, whether its
// request was taken over while this worker was cut off, or was cancelled: what comes
// live may have been missed.
func (h *handler) lookingAgain(ctx context.Context, j *job, cancel context.CancelCauseFunc) context.Context {
	return upstream.WithBeforeRepeat(ctx, func(ctx context.Context) {
		ctx, stop := context.WithTimeout(ctx, lookTime)
		defer stop()
		if h.taken(ctx, j.delivery) {
			cancel(errTaken)
			return
		}
		if cancelled, err := h.bus.IsCancelled(ctx, j.delivery.Scope(), j.request.ID); err == nil && cancelled {
			cancel(upstream.ErrCancelled)
		}
	})
}

// taken reports whether another worker is known to have taken a request over.
func (h *handler) taken(ctx context.Context, d *bus.Delivery) bool {
	ctx, stop := context.WithTimeout(ctx, lookTime)
	defer stop()
	holds, err := h.bus.Holds(ctx, d)
	return err == nil && !holds
}

// duplicate acknowledges a message that needs no answer of its own.
func (h *handler) duplicate(ctx context.Context, d *bus.Delivery, note string) *report {
	_, _ = h.bus.Settle(ctx, d, bus.End{}) // an acknowledgement has no error
	return &report{outcome: Duplicate, note: note}
}

// nack returns a message to its queue if that is its outcome: nothing is published
// for it. The request has left the registry by then, for the message may be
// delivered again at once.
func (h *handler) nack(ctx context.Context, d *bus.Delivery, r *report) {
	if r.outcome == Nacked {
		_, _ = h.bus.Settle(ctx, d, bus.End{Nack: true, After: r.after, Crashed: r.crashed}) // a nack has no error
	}
}

// decide sets the job's verdict. A panic fails this request alone. What it calls stays on
// the stack of each call in flight, so what needs much of that is kept in the job, or done
// in functions that return before.
func (h *handler) decide(ctx context.Context, j *job, a bus.Admission) {
	if h.guard(ctx, func() { h.call(ctx, j, a) }) {
		j.verdict = failed(events.Internal, panicMessage)
	}
}

func (h *handler) call(ctx context.Context, j *job, a bus.Admission) {
	if h.withoutCall(ctx, j, a) {
		return
	}
	deltas := h.bus.Deltas(j.delivery, &j.request)
	ctx = h.ofQueue(upstream.WithRoom(ctx, j.delivery.Room), j.delivery)
	if timeouts, _ := events.Timeouts(j.delivery.Header); timeouts > 0 {
		ctx = upstream.WithTimedOut(ctx)
	}
	j.reply = *h.upstream.Answer(ctx, &j.request, deltas.Piece)
	deltas.Done()
	h.judge(j)
}

// withoutCall reports whether no call is made for a request now, and sets its verdict.
func (h *handler) withoutCall(ctx context.Context, j *job, a bus.Admission) (decided bool) {
	if j.verdict, decided = crashLoop(j.delivery, a.Starts, h.maxCrashLoops, time.Now()); decided {
		return true
	}
	failure, broken := errors.AsType[events.Failure](j.broken)
	switch {
	case broken:
		j.verdict = failed(failure.Code, failure.Message)
	case a.State == bus.Cancelled:
		j.verdict = failed(events.Cancelled, "The request was cancelled.")
	case a.State == bus.Expired:
		j.verdict = failed(events.DeadlineExceeded, "The request's deadline passed before a worker took it.")
	default:
		if j.verdict, decided = h.forBatch(ctx, j); !decided {
			j.verdict, decided = h.fetch(ctx, j)
		}
		return decided
	}
	return true
}

// judge sets the verdict that follows from the reply.
func (h *handler) judge(j *job) {
	re := &j.reply
	if re.Answer != nil {
		j.verdict = judgeAnswer(re.Answer)
		return
	}
	j.verdict = judgeError(re.Err, h.situation(j))
}

func (h *handler) situation(j *job) situation {
	n, re := retryCount(j.delivery, j.request.RetryCount), &j.reply
	timeouts, _ := events.Timeouts(j.delivery.Header)
	return situation{
		now: time.Now(), deadline: j.request.Deadline, called: re.Attempts > 0,
		longest: h.longestWait, retryCount: n, maxRetries: h.queue.MaxRetries, delay: upstream.WithJitter(h.queue.RetryDelay(n)),
		timedOut: re.TimedOut, timeouts: timeouts, maxTimeouts: h.queue.TimeoutMaxRetries,
	}
}

// conclude has a verdict stored, or what it becomes where the server refuses it,
// and the message acknowledged.
func (h *handler) conclude(ctx context.Context, j *job, first *verdict) *report {
	v, panicked := *first, false
	for {
		settled, err := h.settle(ctx, j.delivery, func() bus.End { return v.end(j) })
		h.countDeadLetter(ctx, v.failure.Code, settled)
		v.deadLettered = v.deadLettered || settled.DeadLettered
		switch {
		case err == nil:
			h.enrolled(ctx, j, v)
			h.dropBodies(ctx, j, v, settled)
			return h.concluded(ctx, v, settled)
		case errors.Is(err, errPanicked):
			exhausted := v.outcome == Failed && v.failure.Code == events.RedeliveryExhausted
			if panicked || exhausted {
				return h.cannotStore(ctx, j, exhausted)
			}
			kept := v.deadLettered
			v, panicked = failed(events.Internal, panicMessage), true
			v.deadLettered = kept
			continue
		case !bus.Refused(err):
			return &report{outcome: Nacked, note: err.Error()}
		}
		tooLarge := errors.Is(err, bus.ErrTooLarge)
		if tooLarge && h.refer(ctx, j, &v) {
			continue
		}
		smaller, ok := v.smaller(tooLarge)
		if !ok {
			return h.keepUnanswerable(ctx, j, v, err)
		}
		smaller.deadLettered = v.deadLettered
		v = smaller
	}
}

// concluded reports a verdict that is stored.
func (h *handler) concluded(ctx context.Context, v verdict, settled bus.Settled) *report {
	r := &report{outcome: v.outcome, code: v.failure.Code, text: v.failure.Message, at: v.at}
	switch {
	case v.batch != nil && !v.batch.state.Tried:
		r.code, r.text, r.note = "", "", "it waits for a batch"
	case v.outcome == Rescheduled:
		h.tel.Instruments.RequestScheduled(ctx, string(r.code))
	case !settled.Stored:
		h.tel.Instruments.ResultRefused(ctx)
		r.outcome, r.note = Duplicate, "another result was stored first"
	}
	return r
}

func (h *handler) countDeadLetter(ctx context.Context, code events.Code, settled bus.Settled) {
	if settled.DeadLettered {
		h.tel.Instruments.DeadLettered(ctx, string(code))
	}
}
