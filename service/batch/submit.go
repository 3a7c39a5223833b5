package batch

import (
	"context"
	"errors"
	"iter"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
)

// submit makes a batch of a job.
func (r *Runner) submit(ctx context.Context, j *Job) (next time.Time, err error) {
	if time.Since(j.Created) > Longest { // its requests wait no longer, whatever has become of it
		return r.giveUp(ctx, j, lost, events.Failure{Code: events.UpstreamUnavailable, Message: "OpenRouter did not tell what has become of the request's batch."})
	}
	if j.Unsure {
		if next, found, err := r.find(ctx, j); found || err != nil || !next.IsZero() {
			return next, err
		}
	}
	if time.Since(j.Created) > submitFor {
		return r.giveUp(ctx, j, refused, events.Failure{
			Code: events.UpstreamUnavailable, Message: "OpenRouter's Batch API took no batch for " + submitFor.String() + ".",
		})
	}
	common, waits, err := r.common(ctx, j)
	if err != nil {
		return next, err
	}
	if !waits {
		return next, r.end(ctx, j, empty)
	}
	j.Model, j.Unsure, j.Looks, j.Posted = common.Model, true, 0, time.Now().UTC()
	if err := r.put(ctx, j); err != nil {
		return next, err
	}
	sent := 0
	b, err := r.api.SubmitBatch(ctx, common, r.items(ctx, j, &sent))
	var e *upstream.Error
	switch {
	case err == nil:
		j.Guessed = false
		return r.accepted(ctx, j, b, sent)
	case ctx.Err() != nil:
		return next, context.Cause(ctx)
	case errors.Is(err, errNothing):
		return next, r.end(ctx, j, empty)
	case errors.As(err, &e):
		return r.notAccepted(ctx, j, e)
	}
	return next, err // of the items: it was not submitted, and nobody needs to know
}

// common is what the requests of a job have in common, by the first of them that waits;
// false if none does.
func (r *Runner) common(ctx context.Context, j *Job) (upstream.BatchJob, bool, error) {
	for _, i := range j.Items {
		request, waits, err := r.read(ctx, j, i)
		if err != nil {
			return upstream.BatchJob{}, false, err
		}
		if waits {
			return upstream.BatchJob{Model: request.Model, Provider: request.OpenRouter["provider"]}, true, nil
		}
	}
	return upstream.BatchJob{}, false, nil
}

// read returns a request that waits. One that is under a budget by now goes on in the
// ordinary way, where what it costs is reserved.
func (r *Runner) read(ctx context.Context, j *Job, i Item) (request events.Request, waits bool, err error) {
	request, waits, err = r.requests.Read(ctx, j.Group, i)
	if err != nil || !waits || !r.requests.Budgeted(request.Tenant) {
		return request, waits, err
	}
	over, err := r.requests.Return(ctx, j.Group, i, events.Failure{
		Code: events.InvalidRequest, Message: "There is a budget now, and what a batch costs cannot be reserved.",
	})
	if err == nil && !over {
		err = errInHand
	}
	return request, false, err
}

// Why an upload is not completed.
var (
	errInHand  = errors.New("a request that is given back is in the hands of somebody else")
	errTaken   = errors.New("another worker has taken up the job")
	errNothing = errors.New("none of its requests waits any more")
)

// items reads the requests that still wait, one by one, while they are sent. A worker
// that was paused meanwhile does not send the end: another one may have submitted the
// job again.
func (r *Runner) items(ctx context.Context, j *Job, sent *int) iter.Seq2[upstream.BatchItem, error] {
	return func(yield func(upstream.BatchItem, error) bool) {
		for n, i := range j.Items {
			request, waits, err := r.read(ctx, j, i)
			if err == nil && !waits {
				continue
			}
			*sent++
			if !yield(upstream.BatchItem{CustomID: j.customID(n), Request: request}, err) || err != nil {
				return
			}
		}
		record, err := r.store.BatchRecord(ctx, jobs, j.ID)
		switch {
		case err != nil:
		case record.Sequence != j.sequence:
			err = errTaken
		case *sent == 0:
			err = errNothing
		}
		if err != nil {
			yield(upstream.BatchItem{}, err)
		}
	}
}

// accepted records the batch that a job has become.
func (r *Runner) accepted(ctx context.Context, j *Job, b upstream.Batch, sent int) (next time.Time, err error) {
	j.State, j.Unsure, j.BatchID, j.Key, j.Gone, j.Rounds = submitted, false, b.ID, b.Key, 0, 0
	if err := r.put(ctx, j); err != nil {
		return next, err
	}
	r.tel.Instruments.BatchSubmitted(ctx, sent)
	r.tel.Logger.InfoContext(ctx, "batch submitted", "batch", b.ID, "job", j.ID, "model", j.Model, "requests", sent)
	return r.again(j.Posted, 0), nil
}

// notAccepted decides what follows from an answer that is no batch. What is not sure is
// looked for; what OpenRouter will never take goes on without it; everything else is
// tried again.
func (r *Runner) notAccepted(ctx context.Context, j *Job, e *upstream.Error) (next time.Time, err error) {
	log := r.tel.Logger.With("job", j.ID, "model", j.Model, "requests", len(j.Items), "error", e.Message)
	if e.MayBeStored {
		log.WarnContext(ctx, "a batch was sent, and no answer came: OpenRouter is asked whether it has it")
		return r.again(j.Posted, e.Wait), nil
	}
	switch {
	case e.Code == events.PayloadTooLarge && len(j.Items) > 1:
		return r.halve(ctx, j)
	case e.Heals == upstream.Never && aboutRequests(e.Code):
		r.mu.Lock()
		forgetting(r.refused)[j.Model] = time.Now().Add(refusedFor)
		r.mu.Unlock()
		log.WarnContext(ctx, "OpenRouter refuses a batch: its requests go on without it, and those of the next hour are not batched")
		return r.giveUp(ctx, j, refused, events.Failure{Code: e.Code, Message: e.Message})
	}
	log.WarnContext(ctx, "a batch could not be submitted, it is tried again")
	j.Unsure = false
	if err := r.put(ctx, j); err != nil {
		return next, err
	}
	return r.again(j.Created, e.Wait), nil
}

// aboutRequests reports whether a failure is about what was asked for, and not about who
// asks: another key, or money, heals the latter.
func aboutRequests(code events.Code) bool {
	return code != events.Unauthorized && code != events.InsufficientCredits
}
