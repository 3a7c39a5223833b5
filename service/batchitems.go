package service

import (
	"context"
	"time"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// batchItems answers the requests of a batch, which wait as schedules. It implements
// batch.Requests.
type batchItems struct{ *handler }

// waiting returns the schedule of a request that waits in a group, nil if it does not.
func (h batchItems) waiting(ctx context.Context, group string, i batch.Item) (*bus.Delivery, error) {
	d, err := h.bus.Waiting(ctx, i.Callback, i.ID)
	if d == nil || err != nil {
		return nil, err
	}
	if n, _ := events.RetryCount(d.Header); n != i.Retries || events.Batch(d.Header).Group != group {
		return nil, nil //nolint:nilnil // it waits for something else
	}
	return d, nil
}

// Read implements batch.Requests.
func (h batchItems) Read(ctx context.Context, group string, i batch.Item) (events.Request, bool, error) {
	d, err := h.waiting(ctx, group, i)
	if d == nil || err != nil {
		return events.Request{}, false, err
	}
	j := h.read(ctx, d)
	return j.request, j.broken == nil, nil
}

// Budgeted implements batch.Requests.
func (h batchItems) Budgeted(tenant string) bool { return h.batch.isBudgeted(tenant) }

// Answer implements batch.Requests.
func (h batchItems) Answer(ctx context.Context, group string, i batch.Item, re upstream.Reply) (over bool, err error) {
	return h.settle(ctx, group, i, func(ctx context.Context, j *job) verdict {
		j.reply = re.WithoutEcho(&j.request)
		if e := j.reply.Err; e != nil && e.Code == events.ModelUnavailable && j.request.TierFallback { // another model may answer
			return h.withoutBatch(ctx, events.Failure{Code: e.Code, Message: e.Message})
		}
		h.tel.Instruments.BatchItem(ctx, "answered")
		h.judge(j)
		return j.verdict
	})
}

// Return implements batch.Requests.
func (h batchItems) Return(ctx context.Context, group string, i batch.Item, why events.Failure) (over bool, err error) {
	return h.settle(ctx, group, i, func(ctx context.Context, j *job) verdict {
		if j.broken == nil && !j.request.TierFallback {
			h.tel.Instruments.BatchItem(ctx, "returned")
			return failed(why.Code, why.Message)
		}
		return h.withoutBatch(ctx, why)
	})
}

// withoutBatch has a request go on in the ordinary way.
func (h batchItems) withoutBatch(ctx context.Context, why events.Failure) verdict {
	h.tel.Instruments.BatchItem(ctx, "returned")
	return verdict{outcome: Rescheduled, free: true, at: time.Now(), failure: why, batch: &enrolment{state: events.BatchState{Tried: true}, again: true}}
}

// settle ends a request that waits, which has goroutines of its own. The error may be errPanicked.
func (h batchItems) settle(ctx context.Context, group string, i batch.Item, decide func(context.Context, *job) verdict) (over bool, err error) {
	if h.guard(ctx, func() { over, err = h.end(ctx, group, i, decide) }) {
		return false, errPanicked
	}
	return over, err
}

// end admits a request that waits, and stores the verdict on it. What was answered, or
// does not wait in this group any more, is over. It is not entered into the registry of
// requests in flight, as in cancelWaiting.
func (h batchItems) end(ctx context.Context, group string, i batch.Item, decide func(context.Context, *job) verdict) (over bool, err error) {
	d, err := h.waiting(ctx, group, i)
	if err != nil {
		return false, err
	}
	if d == nil {
		return h.isOver(ctx, i)
	}
	j := h.read(ctx, d)
	if events.CanonicalID(j.request.ID) != i.ID || j.request.CallbackQueue != i.Callback {
		return true, nil // the settings have changed
	}
	if h.inFlight.has(i.Callback, i.ID) {
		return false, nil
	}
	ctx = withRequest(h.tel.Extract(ctx, d.Header), j)
	var v verdict
	switch h.bus.Admit(ctx, bus.Ask{Delivery: d, Callback: i.Callback, ID: j.request.ID, Deadline: j.request.Deadline})[0].State {
	case bus.Admitted:
		v = decide(ctx, j)
	case bus.Cancelled:
		v = failed(events.Cancelled, "The request was cancelled while it waited for its batch.")
	case bus.Expired:
		v = failed(events.DeadlineExceeded, "The request's deadline passed before its batch was answered.")
	case bus.Answered:
		_, _ = h.bus.Settle(ctx, d, bus.End{})
		return true, nil
	case bus.Busy, bus.Duplicate, bus.Rescheduled, bus.Interrupted, bus.Unclear:
		_, _ = h.bus.Settle(ctx, d, bus.End{Nack: true}) // it goes on waiting
		return false, context.Cause(ctx)
	}
	r := h.conclude(ctx, j, &v)
	if r.job = j; r.outcome != Nacked {
		h.charge(ctx, j)
	}
	h.nack(ctx, d, r)
	r.record(ctx, h.tel)
	return r.outcome != Nacked, context.Cause(ctx)
}

// charge counts what a batch's answer has cost its tenant.
func (h batchItems) charge(ctx context.Context, j *job) {
	bill := j.reply.Usage.Bill
	if bill.Cost != nil {
		h.tel.Instruments.Charged(ctx, j.delivery.Tenant, j.request.Model, *bill.Cost)
	}
	if t := bill.Usage; t != nil {
		h.tel.Instruments.TokensUsed(ctx, j.delivery.Tenant, t.PromptTokens, t.CompletionTokens)
	}
}

// isOver reports whether a request that does not wait in a group is answered, or waits for
// something else. Else its schedule has fired in this moment.
func (h batchItems) isOver(ctx context.Context, i batch.Item) (bool, error) {
	d, err := h.bus.Waiting(ctx, i.Callback, i.ID)
	if d != nil || err != nil {
		return d != nil, err
	}
	return h.batch.bus.HasResult(ctx, i.Callback, i.ID)
}
