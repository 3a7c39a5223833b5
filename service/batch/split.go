package batch

import (
	"context"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
)

// fail deals with a batch that failed: one invalid item is enough for that. What the
// error names becomes a job of its own, since the error is a hint; else the job is
// halved, until the item is alone. That one goes on without a batch: an ordinary call
// says what is wrong with it. Where many are invalid, the rest goes on without a batch
// as well after a while: nobody knows of one which it is.
func (r *Runner) fail(ctx context.Context, j *Job, b upstream.Batch) (next time.Time, err error) {
	why := events.Failure{Code: events.InvalidRequest, Message: "OpenRouter's batch failed: " + b.Failure.Message}
	if len(j.Items) == 1 {
		return r.giveUp(ctx, j, failed, why)
	}
	if divisions(j.ID) >= deepest {
		return r.giveUp(ctx, j, failed, events.Failure{Code: events.UpstreamUnavailable, Message: why.Message})
	}
	if n := named(j, b); n >= 0 {
		return r.divide(ctx, j, func(at int) bool { return at == n })
	}
	hopeless, err := r.relativesFailed(ctx, j)
	switch {
	case err != nil:
		return next, err
	case hopeless:
		return r.giveUp(ctx, j, failed, events.Failure{Code: events.UpstreamUnavailable, Message: why.Message})
	}
	return r.halve(ctx, j)
}

// named is the place of the item that the error of a batch names, -1 if it names none. A
// number counts what was submitted, which may be less than was collected.
func named(j *Job, b upstream.Batch) int {
	if o := parseCustomID(b.Failure.CustomID); j.owns(o) && o.n < len(j.Items) {
		return o.n
	}
	if n := b.Failure.Index; n >= 0 && n < len(j.Items) && b.Total == len(j.Items) {
		return n
	}
	return -1
}

func (r *Runner) halve(ctx context.Context, j *Job) (next time.Time, err error) {
	half := len(j.Items) / 2
	return r.divide(ctx, j, func(at int) bool { return at < half })
}

// deepest is how often a job is divided: 13 halves find one of 5,000, and each division
// takes minutes and lengthens its name.
const deepest = 16

// divisions is how often a job has been divided.
func divisions(id string) (n int) {
	for ; sibling(id) != ""; n++ {
		id = whole(id)
	}
	return n
}

// The parts of a job are called like it, with one of these behind it.
const (
	first  = "a"
	second = "b"
)

// divide puts two jobs in the place of one: of the items that are chosen, and of the
// others. A worker that dies in between makes the same two again.
func (r *Runner) divide(ctx context.Context, j *Job, chosen func(at int) bool) (next time.Time, err error) {
	parts := [2]Job{{ID: j.ID + first}, {ID: j.ID + second}}
	for at, item := range j.Items {
		part := &parts[1]
		if chosen(at) {
			part = &parts[0]
		}
		part.Items = append(part.Items, item)
	}
	for n := range parts {
		part := &parts[n]
		part.Group, part.Last, part.Parent = j.Group, j.Last, j.ID
		if _, err := r.start(ctx, part); err != nil {
			return next, err
		}
	}
	return next, r.end(ctx, j, split, "into", []int{len(parts[0].Items), len(parts[1].Items)})
}

// relativesFailed reports whether the other half of what a job is a part of has failed,
// and that of what this is a part of: then it is not one request that is to blame, and
// to submit ever smaller batches would not find it. The job's own other half may be
// under way still.
func (r *Runner) relativesFailed(ctx context.Context, j *Job) (bool, error) {
	for _, id := range []string{j.Parent, whole(j.Parent)} {
		other := sibling(id)
		if other == "" {
			return false, nil
		}
		there, err := r.job(ctx, other)
		if err != nil || there == nil || there.Outcome != split && there.Outcome != failed {
			return false, err
		}
	}
	return true, nil
}

// whole is what a job is a part of; "" if it is no part.
func whole(id string) string {
	if sibling(id) == "" {
		return ""
	}
	return id[:len(id)-1]
}

// sibling is the other half of what a job is a part of; "" if it is no part.
func sibling(id string) string {
	if id == "" {
		return ""
	}
	root, last := id[:len(id)-1], id[len(id)-1:]
	switch last {
	case first:
		return root + second
	case second:
		return root + first
	}
	return ""
}
