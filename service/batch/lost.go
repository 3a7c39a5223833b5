package batch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// find looks for the batch that a job may have become when nobody heard the answer: one of
// its model, as large at most, since its submission, that no other job has. OpenRouter
// tells no more of one that runs, so the guess is checked when the results come, whose
// custom ids name their job. While another job has one that it found in the same way, and
// that may be this one's, that one's end is waited for. It returns when to look again, or
// the zero time if it is sure enough that there is none.
func (r *Runner) find(ctx context.Context, j *Job) (next time.Time, found bool, err error) {
	since := j.Posted.Add(-clockSkew)
	batches, err := r.api.FindBatches(ctx, since)
	if err != nil {
		return r.patience(ctx, j, err)
	}
	guessed, err := r.owned(ctx, j)
	if err != nil {
		return next, false, err
	}
	undecided := false
	batches = slices.DeleteFunc(batches, func(b upstream.Batch) bool {
		if baseModel(b.Model) != baseModel(j.Model) || b.Total > len(j.Items) || !b.Created.IsZero() && b.Created.Before(since.Truncate(time.Second)) {
			return true
		}
		guess, owned := guessed[b.ID]
		undecided = undecided || guess
		return owned
	})
	if len(batches) > 0 {
		likeliest := slices.MinFunc(batches, func(a, b upstream.Batch) int {
			return cmp.Or(cmp.Compare(b.Total, a.Total), a.Created.Compare(b.Created))
		})
		r.tel.Logger.InfoContext(ctx, "a batch whose acceptance was not heard is found", "batch", likeliest.ID, "job", j.ID)
		j.Guessed = true
		next, err = r.accepted(ctx, j, likeliest, likeliest.Total)
		return next, true, err
	}
	if undecided {
		return r.again(j.Posted, 0), false, nil
	}
	if due := j.Posted.Add(time.Duration(j.Looks+1) * r.unit); time.Now().Before(due) {
		return due, false, nil // more ticks than one may have come
	}
	if j.Looks++; j.Looks >= looksInVain {
		return next, false, nil
	}
	if err := r.put(ctx, j); err != nil {
		return next, false, err
	}
	return time.Now().Add(r.unit), false, nil
}

// patience is when to ask OpenRouter again that did not answer.
func (r *Runner) patience(ctx context.Context, j *Job, err error) (next time.Time, found bool, _ error) {
	var e *upstream.Error
	if ctx.Err() != nil || !errors.As(err, &e) {
		return next, false, err
	}
	r.tel.Logger.WarnContext(ctx, "OpenRouter does not tell of its batches, it is asked again", "job", j.ID, "error", e.Message)
	return r.again(j.Posted, e.Wait), false, nil
}

// baseModel leaves out what Batch adds to the name of a model.
func baseModel(name string) string { return strings.TrimSuffix(name, ":batch") }

// owned returns the batches that are not this job's: those of others, and those whose
// results were another's. True are those that another one has found, and that may be
// this one's all the same.
func (r *Runner) owned(ctx context.Context, j *Job) (map[string]bool, error) {
	owned := map[string]bool{}
	for after := uint64(0); ; {
		record, err := r.store.NextBatchRecord(ctx, jobs, after)
		if err != nil {
			return nil, err
		}
		if record == nil {
			break
		}
		after = record.Sequence
		other, err := decode(*record)
		if err != nil {
			return nil, err
		}
		if other.ID != j.ID && other.BatchID != "" {
			owned[other.BatchID] = other.Guessed && other.State == submitted
		}
	}
	for _, id := range j.Foreign {
		owned[id] = false
	}
	return owned, nil
}

// giveTo gives a batch to the job that its custom ids name, if any, and has the one that
// took it look for its own.
func (r *Runner) giveTo(ctx context.Context, j *Job, of owner) (next time.Time, err error) {
	b := upstream.Batch{ID: j.BatchID, Key: j.Key}
	r.tel.Logger.WarnContext(ctx, "a batch is another job's than it was taken for", "batch", b.ID, "job", j.ID, "owner", of.job)
	var other *Job
	if of.job != "" {
		if other, err = r.job(ctx, of.job); err != nil {
			return next, err
		}
	}
	if other != nil && other.owns(of) && other.State != ended && other.BatchID != b.ID {
		other.State, other.Unsure, other.BatchID, other.Key, other.Gone, other.Rounds = submitted, false, b.ID, b.Key, 0, 0
		other.Guessed = false
		if err := r.put(ctx, other); err != nil {
			return next, err
		}
		if err := r.store.TickNow(ctx, of.job); err != nil {
			return next, err
		}
	}
	j.State, j.Unsure, j.Looks, j.BatchID, j.Guessed = submitting, true, 0, "", false
	j.Foreign = append(j.Foreign, b.ID)
	if err := r.put(ctx, j); err != nil && !bus.Conflict(err) {
		return next, err
	}
	return time.Now().Add(r.unit), nil
}
