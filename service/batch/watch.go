package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
)

// errForeign ends the reading of results that are another job's.
var errForeign = errors.New("the results are another job's")

// watch looks what has become of a batch.
func (r *Runner) watch(ctx context.Context, j *Job) (next time.Time, err error) {
	b, err := r.api.Batch(ctx, j.Key, j.BatchID)
	switch {
	case errors.Is(err, upstream.ErrNoBatch):
		if j.Gone++; j.Gone >= goneLooks && j.Guessed {
			return r.giveTo(ctx, j, owner{})
		}
		if j.Gone >= goneLooks {
			return r.giveUp(ctx, j, lost, events.Failure{Code: events.UpstreamUnavailable, Message: "OpenRouter knows nothing of the request's batch any more."})
		}
		if err := r.put(ctx, j); err != nil {
			return next, err
		}
		return r.again(j.Posted, 0), nil
	case err != nil && time.Since(j.Posted) <= Longest:
		next, _, err = r.patience(ctx, j, err)
		return next, err
	}
	switch b.Outcome {
	case upstream.BatchCompleted:
		return r.complete(ctx, j, b)
	case upstream.BatchFailed, upstream.BatchExpired:
		return r.unfinished(ctx, j, b)
	case upstream.BatchRuns:
	}
	if time.Since(j.Posted) > Longest {
		return r.giveUp(ctx, j, expired, events.Failure{Code: events.UpstreamTimeout, Message: "OpenRouter's batch did not end within " + Longest.String() + "."})
	}
	return r.again(j.Posted, 0), nil
}

// unfinished deals with a batch that ended without results. Of one that was found, that
// says nothing unless its error names the job: the job's own batch may run all the while.
func (r *Runner) unfinished(ctx context.Context, j *Job, b upstream.Batch) (next time.Time, err error) {
	if named := parseCustomID(b.Failure.CustomID); j.Guessed && !j.owns(named) {
		return r.giveTo(ctx, j, named)
	}
	if b.Outcome == upstream.BatchFailed {
		return r.fail(ctx, j, b)
	}
	return r.giveUp(ctx, j, expired, events.Failure{Code: events.UpstreamTimeout, Message: "OpenRouter did not run the request's batch in its time."})
}

// complete answers the requests of a batch that is completed. A request that has no
// result goes on without it. It is done again for those that somebody else had in
// hand.
func (r *Runner) complete(ctx context.Context, j *Job, b upstream.Batch) (next time.Time, err error) {
	seen, open, of, err := r.answerAll(ctx, j, b)
	var e *upstream.Error
	switch {
	case errors.Is(err, errForeign):
		return r.giveTo(ctx, j, of)
	case ctx.Err() != nil:
		return next, context.Cause(ctx)
	case errors.As(err, &e):
		next, _, err = r.patience(ctx, j, err)
		return next, err
	case err != nil:
		return next, err
	}
	without := events.Failure{Code: events.UpstreamInvalidResponse, Message: "OpenRouter's batch has no result for the request."}
	more, err := r.returnAll(ctx, j, without, func(n int) bool { return !seen[n] })
	if err != nil {
		return next, err
	}
	if open += more; open > 0 && j.Rounds < roundsMost {
		j.Rounds++
		return time.Now().Add(r.unit), r.put(ctx, j)
	}
	return next, r.end(ctx, j, completed, "cost", dollars(b.Bill), "failed_there", b.FailedItems)
}

// answerAll answers the requests that have a result. It returns which have one, how many
// have to be asked again, and whose the last result is.
func (r *Runner) answerAll(ctx context.Context, j *Job, b upstream.Batch) (seen []bool, open int, of owner, err error) {
	seen = make([]bool, len(j.Items))
	answers := each(ctx)
	err = r.api.BatchResults(answers.reading, b, func(result upstream.BatchResult) error {
		of = parseCustomID(result.CustomID)
		switch {
		case result.CustomID == "": // it is broken
			return nil
		case !j.owns(of):
			return errForeign
		case of.n >= len(seen) || seen[of.n]:
			return nil
		}
		seen[of.n] = true
		item := j.Items[of.n]
		return answers.begin(func() (bool, error) { return r.requests.Answer(ctx, j.Group, item, result.Reply) })
	})
	open, failed := answers.wait()
	if failed != nil {
		err = failed
	}
	return seen, open, of, err
}

func dollars(b events.Bill) any {
	if b.Cost == nil {
		return "unknown"
	}
	return *b.Cost
}

// returnAll has those requests of a job that are asked for go on without it. It returns
// how many have to be asked again.
func (r *Runner) returnAll(ctx context.Context, j *Job, why events.Failure, which func(n int) bool) (open int, err error) {
	returns := each(ctx)
	for n, i := range j.Items {
		if !which(n) {
			continue
		}
		if returns.begin(func() (bool, error) { return r.requests.Return(ctx, j.Group, i, why) }) != nil {
			break
		}
	}
	return returns.wait()
}

// giveUp ends a job whose requests go on without it.
func (r *Runner) giveUp(ctx context.Context, j *Job, o outcome, why events.Failure) (next time.Time, err error) {
	open, err := r.returnAll(ctx, j, why, func(int) bool { return true })
	switch {
	case err != nil:
		return next, err
	case open > 0 && j.Rounds < roundsMost:
		j.Rounds++
		return time.Now().Add(r.unit), r.put(ctx, j)
	}
	return next, r.end(ctx, j, o, "why", why.Message)
}

// end records that a job is over: nobody looks after it any more.
func (r *Runner) end(ctx context.Context, j *Job, o outcome, more ...any) error {
	n := len(j.Items)
	j.State, j.Outcome, j.Items = ended, o, nil
	if err := r.put(ctx, j); err != nil {
		return err
	}
	r.tel.Instruments.BatchEnded(ctx, string(o))
	took := time.Since(j.Created).Round(time.Second)
	r.tel.Logger.InfoContext(ctx, fmt.Sprintf("batch %s", o), append([]any{"batch", j.BatchID, "job", j.ID, "model", j.Model, "requests", n, "took", took}, more...)...)
	return nil
}
