package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// handler takes one delivery from its bytes to its stored result: the straight
// line of design section 4, steps 2 to 5. It knows neither NATS nor HTTP.
type handler struct {
	config    *config.Config
	rules     events.Rules
	atWork    *atWork
	claims    *claims
	results   *publisher
	schedules *schedules
	letters   *deadletters
	cancels   *cancels
	upstream  *upstream.Caller
	live      *live
	tel       *telemetry.Telemetry
}

// handle answers one delivery and writes its line into the log.
func (h *handler) handle(ctx context.Context, d delivery) report {
	request, err := h.rules.Decode(d.Body, d.Taken)
	if request.ID != "" {
		ctx = telemetry.WithLogAttrs(ctx, slog.String("request_id", request.ID))
	}
	r := h.process(ctx, d, request, err)
	r.request = request
	h.log(ctx, d, r)
	return r
}

// process lets one delivery of a request in at a time.
func (h *handler) process(ctx context.Context, d delivery, request events.Request, broken error) report {
	if errors.Is(broken, events.ErrNoID) {
		return h.bury(ctx, d, broken)
	}
	callback, id := request.CallbackQueue, events.CanonicalID(request.ID)
	calls, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leave, ok := h.atWork.enter(callback, id, d, cancel)
	if !ok && d.Stream == h.config.Names().RequestsStream() {
		return report{outcome: telemetry.VerdictDuplicate, note: "this process is answering it"}
	}
	if !ok { // what came through the retries may be the request's only trace
		return h.busy(ctx, d, request)
	}
	defer leave()
	claim, state, err := h.claims.take(ctx, callback, id, d)
	switch {
	case err != nil:
		return interrupted(err)
	case state == claimDuplicate:
		return report{outcome: telemetry.VerdictDuplicate, note: "another message with this request is being answered"}
	case state == claimBusy:
		return h.busy(ctx, d, request)
	}
	defer claim.release(ctx)
	return h.answer(ctx, calls, work{d, request, broken, claim.starts})
}

// busy is a message whose request a living process works on, and which must
// not be settled before that has ended.
func (h *handler) busy(ctx context.Context, d delivery, request events.Request) report {
	answered, err := h.answered(ctx, d, request)
	if err == nil && answered {
		return report{outcome: telemetry.VerdictDuplicate, note: "already answered"}
	}
	return report{outcome: outcomeGivenBack, settlement: giveBack(time.Second), note: "it is being answered"}
}

// interrupted is a delivery that the end of the process cut short: nothing is
// published for it.
func interrupted(cause error) report {
	return report{outcome: outcomeGivenBack, settlement: giveBack(0), note: cause.Error()}
}

// bury keeps a message that has no usable id, since no result can name it.
func (h *handler) bury(ctx context.Context, d delivery, broken error) report {
	err := h.letters.bury(ctx, d, events.InvalidRequest, "", broken.Error())
	if err != nil && !errors.Is(err, errTooLarge) {
		return interrupted(err)
	}
	h.buried(ctx, events.InvalidRequest, err)
	return report{outcome: telemetry.VerdictFailed, code: events.InvalidRequest, text: broken.Error(), note: "kept as a dead letter"}
}

// buried counts a dead letter, if it could be written.
func (h *handler) buried(ctx context.Context, code events.Code, err error) {
	if err == nil {
		h.tel.Instruments.DeadLettered(ctx, string(code))
	}
}

// work is one claimed delivery on its way to a result.
type work struct {
	delivery delivery
	request  events.Request
	broken   error // why the request cannot be answered, from decoding
	starts   int   // that never settled, this one included
}

// answered looks whether a result is stored that settles this delivery. An
// operator's replay goes on after the very failure it names, and when no
// result is kept any more.
func (h *handler) answered(ctx context.Context, d delivery, request events.Request) (bool, error) {
	there, err := h.results.lookup(ctx, request.CallbackQueue, request.ID)
	if err != nil || there.sequence == 0 {
		return false, err
	}
	return there.completed || there.sequence != h.follows(d), nil
}

// follows is the sequence of the failed result that a replay may follow, 0 for
// what is no replay. The header counts only on what came through the retries,
// where requesters may not publish.
func (h *handler) follows(d delivery) uint64 {
	if d.Stream != h.config.Names().RetriesStream() {
		return 0
	}
	sequence, _ := events.Replay(d.Header)
	return sequence
}

// answer looks before it pays, and stores what comes of it.
func (h *handler) answer(ctx, calls context.Context, w work) report {
	d, request := w.delivery, w.request
	answered, err := h.answered(ctx, d, request)
	if err != nil {
		return interrupted(err)
	}
	if answered {
		return report{outcome: telemetry.VerdictDuplicate, note: "already answered"}
	}
	waiting, err := h.schedules.waiting(ctx, request.CallbackQueue, request.ID, d)
	if err != nil {
		return interrupted(err)
	}
	if waiting {
		return report{outcome: telemetry.VerdictDuplicate, note: "it comes back later"}
	}
	if v, suspect := h.suspect(w); suspect {
		return h.conclude(ctx, d, request, v, upstream.Reply{})
	}
	v, re := h.decide(calls, d, request, w.broken)
	if cause := context.Cause(calls); errors.Is(cause, upstream.ErrStopping) && v.answer == nil {
		return interrupted(cause)
	}
	return h.conclude(ctx, d, request, v, re)
}

// decide returns the verdict, calling OpenRouter only if nothing speaks
// against it. A panic is this request's failure and nobody else's.
func (h *handler) decide(ctx context.Context, d delivery, request events.Request, broken error) (v verdict, re upstream.Reply) {
	defer func() {
		if p := recover(); p != nil {
			h.tel.Logger.ErrorContext(ctx, "a request made the service panic", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			v = failed(events.Internal, "The service failed on this request; its operators have the details.")
		}
	}()
	var failure events.Failure
	switch {
	case errors.As(broken, &failure):
		return failed(failure.Code, failure.Message), re
	case h.cancels.has(ctx, request.ID):
		return failed(events.Cancelled, "The request was cancelled."), re
	case !request.Deadline.IsZero() && !request.Deadline.After(time.Now()):
		return failed(events.DeadlineExceeded, "The request's deadline passed before a worker took it."), re
	}
	run := h.live.start(request)
	re = h.upstream.Answer(ctx, request, run.piece)
	run.done()
	if re.Answer != nil {
		return judgeAnswer(re.Answer), re
	}
	retries := retryCount(d, request.RetryCount)
	return judgeError(re.Err, situation{
		now: time.Now(), deadline: request.Deadline, called: re.Attempts > 0,
		retryCount: retries, maxRetries: h.config.MaxRetries, delay: upstream.WithJitter(h.config.RetryDelay(retries)),
	}), re
}

// conclude makes the verdict last. What it stores, it stores before the
// message is acknowledged.
func (h *handler) conclude(ctx context.Context, d delivery, request events.Request, v verdict, re upstream.Reply) report {
	r := report{outcome: v.kind, code: v.failure.Code, text: v.failure.Message, reply: re, at: v.at}
	if v.kind == telemetry.VerdictLater {
		err := h.schedules.put(ctx, request.CallbackQueue, request.ID, d, v.at, v.headers(d))
		if err == nil {
			h.tel.Instruments.RequestScheduled(ctx, string(r.code))
			return r
		}
		if !errors.Is(err, errTooLarge) {
			return interrupted(err)
		}
		v = failed(r.code, r.text+" It could not be put back: with its headers it is larger than the server accepts.")
	}
	if v.kind == telemetry.VerdictFailed && v.failure.Code.Deadletter() {
		err := h.letters.bury(ctx, d, v.failure.Code, request.ID, v.failure.Message)
		if err != nil && !errors.Is(err, errTooLarge) {
			return interrupted(err)
		}
		h.buried(ctx, v.failure.Code, err)
	}
	v, stored, err := h.store(ctx, d, request, v, re)
	if err != nil {
		return interrupted(err)
	}
	r = report{outcome: v.kind, code: v.failure.Code, text: v.failure.Message, reply: re} // what it has become
	if !stored {
		h.tel.Instruments.ResultRefused(ctx)
		r.outcome, r.note = telemetry.VerdictDuplicate, "another result was stored first"
	}
	return r
}
