package batch

import (
	"context"
	"encoding/json"
	"time"

	"gemini-client/service/bus"
)

// reviveAgain is after which time a worker that looks after batches makes up for lost
// ticks again.
const reviveAgain = time.Hour

// Revive sets a tick for each group and each job that has something left to do and has
// none. A worker of an older version, such as one that a deployment was rolled back to,
// keeps ticks as dead letters: without a new one their requests would wait until their
// schedules end. A tick that is set stays as it is. One that is under way meanwhile is not
// seen, so a job's new one is as late as the latest that it sets itself: what the job waits
// for, such as a batch that may be listed late, is not hurried.
func (r *Runner) Revive(ctx context.Context) error {
	r.mu.Lock()
	r.revived = time.Now()
	r.mu.Unlock()
	err := r.eachRecord(ctx, jobs, func(name string, body []byte) error {
		var j Job
		if read := json.Unmarshal(body, &j) == nil; !read || j.State == ended { // a broken one stops no others
			return nil
		}
		return r.store.Tick(ctx, name, time.Now().Add(lookGrowth*r.unit))
	})
	if err != nil {
		return err
	}
	return r.eachRecord(ctx, heads, func(name string, body []byte) error {
		var h head
		if read := json.Unmarshal(body, &h) == nil; !read {
			return nil
		}
		mark, err := r.store.NextMark(ctx, name, h.Last)
		if bus.Refused(err) { // a broken one stops no others
			return nil
		}
		if mark == nil || err != nil {
			return err
		}
		return r.store.Tick(ctx, name, mark.Stored.Add(r.maxWait))
	})
}

// known has a group be found by Revive that was never collected: it stores an empty head,
// unless there is one.
func (r *Runner) known(ctx context.Context, group string) {
	if err := r.putHead(ctx, group, head{}); err != nil && !bus.Conflict(err) {
		r.tel.Logger.DebugContext(ctx, "a group is not known to others; its tick has it collected", "group", group, "error", err)
	}
}

func (r *Runner) eachRecord(ctx context.Context, kind string, do func(name string, body []byte) error) error {
	for after := uint64(0); ; {
		record, err := r.store.NextBatchRecord(ctx, kind, after)
		if record == nil || err != nil {
			return err
		}
		after = record.Sequence
		if err := do(record.Name, record.Body); err != nil {
			return err
		}
	}
}

// reviving reports whether it is time to revive, for one tick at a time.
func (r *Runner) reviving() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.revived) < reviveAgain {
		return false
	}
	r.revived = time.Now()
	return true
}
