package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// backlogRun has a contender answer what waits already.
func backlogRun(ctx context.Context, r *run, set setting, usual int) error {
	return drain(ctx, r, set, r.bench.requests(usual), nil)
}

// longRun is backlogRun that looks at ten parts of the work.
func longRun(ctx context.Context, r *run, set setting, usual int) error {
	requests := r.bench.requests(usual)
	return drain(ctx, r, set, requests, &tenths{size: requests / 10})
}

// drain fills the queue, starts the contender and waits until all is answered.
func drain(ctx context.Context, r *run, set setting, requests int, parts *tenths) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.fill(ctx, 0, requests); err != nil {
		return err
	}
	before, err := sum(s.natsChildren())
	if err != nil {
		return err
	}
	for range r.contender.workers() {
		if _, err := s.start(ctx, r.contender); err != nil {
			return err
		}
	}
	if err := s.answered(ctx, requests, s.watch(ctx, r, requests, parts)); err != nil {
		return err
	}
	if err := errors.Join(r.rate(ctx, s, requests), r.used(s, usage{}, before, requests), s.allProfiles(ctx), r.spans(s, requests)); err != nil {
		return err
	}
	if parts != nil {
		if err := parts.note(ctx, r, s); err != nil {
			return err
		}
	}
	return s.check(ctx, requests)
}

// watch is called with the number of results so far.
func (s *stage) watch(ctx context.Context, r *run, requests int, parts *tenths) func(int) error {
	half := sync.OnceValue(func() error { return s.heapProfiles(ctx) })
	return func(n int) (err error) {
		r.sayf("%d of %d", n, requests)
		if parts != nil {
			err = parts.seen(s, n)
		}
		if n >= requests/2 {
			err = errors.Join(err, half())
		}
		return err
	}
}

// rate notes how many requests were answered in a second, from the first result to
// the last, as they were stored. The first came a call later than its request.
func (r *run) rate(ctx context.Context, s *stage, requests int) error {
	results, err := s.state(ctx, responsesStream)
	if err != nil {
		return err
	}
	took := results.LastTime.Sub(results.FirstTime) + s.answer.Over
	r.note(rate, float64(requests)/took.Seconds())
	var made calls
	if err := s.upstream.report(&made); err != nil {
		return err
	}
	r.note(peakCalls, float64(made.Peak))
	return nil
}

// used notes the CPU of each request, and the memory. The arguments are what the
// workers and the servers had used before.
func (r *run) used(s *stage, worker, server usage, requests int) error {
	workers, err := sum(s.workers)
	if err != nil {
		return err
	}
	servers, err := sum(s.natsChildren())
	if err != nil {
		return err
	}
	r.note(workerCPU, milliseconds(workers.cpu-worker.cpu)/float64(requests))
	r.note(natsCPU, milliseconds(servers.cpu-server.cpu)/float64(requests))
	r.note(workerPeak, megabytes(workers.peak))
	r.note(natsPeak, megabytes(servers.peak))
	return nil
}

// spans checks that a traced run lost no spans. It ends the workers, which flush.
func (r *run) spans(s *stage, requests int) error {
	if s.collector == nil {
		return nil
	}
	if err := s.stopWorkers(); err != nil {
		return err
	}
	var got spans
	if err := s.collector.report(&got); err != nil {
		return err
	}
	if got.Spans < requests {
		return fmt.Errorf("%d requests made %d spans", requests, got.Spans)
	}
	r.note(spansEach, float64(got.Spans)/float64(requests))
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }
