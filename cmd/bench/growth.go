package main

import (
	"context"
	"errors"
	"time"
)

// growthParts is in how many parts the requests of the growth scenario come.
const growthParts = 5

// claimAge is how old a claim may be when nothing is called for, and leftTime is
// how long that is waited for. Idle connections end before.
const (
	claimAge = 3 * time.Minute
	leftTime = claimAge + 10*time.Second
)

// growthRun has one process answer many requests, with a rest after each part, and
// compares what is left in the end with what was there after the first one.
func growthRun(ctx context.Context, r *run, set setting, requests int) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	worker, err := s.start(ctx, r.contender)
	if err != nil {
		return err
	}
	if err := errors.Join(s.warm(ctx), pause(ctx, settleTime), r.state(ctx, s, 0)); err != nil {
		return err
	}
	part := requests / growthParts
	for i := range growthParts {
		if err := s.fill(ctx, i*part, part); err != nil {
			return err
		}
		if err := s.answered(ctx, (i+1)*part+1, func(n int) error { r.sayf("%d of %d", n, requests); return nil }); err != nil {
			return err
		}
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		if err := r.state(ctx, s, (i+1)*part); err != nil {
			return err
		}
	}
	r.note(growMemory, r.slices[growthParts].WorkerMB/r.slices[1].WorkerMB)
	r.say("waiting for claims and connections to end")
	if err := pause(ctx, r.bench.rest(leftTime)); err != nil {
		return err
	}
	left, err := worker.vitals(ctx)
	if err != nil {
		return err
	}
	claims, err := s.state(ctx, claimsStream)
	if err != nil {
		return err
	}
	r.note(leftGoroutines, float64(left.goroutines-r.slices[0].Goroutines))
	r.note(leftSockets, float64(left.sockets-r.slices[0].Sockets))
	r.note(leftClaims, oldest(claims.Msgs, claims.FirstTime, time.Now()))
	return s.check(ctx, part*growthParts+1)
}

// oldest is how many seconds old the first of so many messages is.
func oldest(messages uint64, first, now time.Time) float64 {
	if messages == 0 {
		return 0
	}
	return now.Sub(first).Seconds()
}

// state notes what the worker has after so many results.
func (r *run) state(ctx context.Context, s *stage, results int) error {
	v, err := s.workers[0].vitals(ctx)
	if err != nil {
		return err
	}
	workers, err := sum(s.workers)
	if err != nil {
		return err
	}
	servers, err := sum(s.natsChildren())
	if err != nil {
		return err
	}
	r.slices = append(r.slices, slice{
		Results: results, WorkerMB: megabytes(workers.memory), NATSMB: megabytes(servers.memory),
		Goroutines: v.goroutines, HeapMB: v.heap / (1 << 20), Sockets: v.sockets,
	})
	return nil
}
