package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A plan is an open loop: requests come at their times, whether or not the ones
// before are answered.
type plan struct {
	start   time.Time
	rate    int                // a second
	stream  bool               // answers are published while they are written
	first   int                // number of the first request
	subject func(i int) string // of request i; nil: of the default tenant
}

// on is the subject of request i.
func (p plan) on(i int) string {
	if p.subject == nil {
		return requestSubject
	}
	return p.subject(i)
}

// due is when request i, counted from the first one, has to be published.
func (p plan) due(i int) time.Time {
	return p.start.Add(time.Duration(i) * time.Second / time.Duration(p.rate))
}

// A stopwatch takes the time from when a request was due until its result is
// here. A publisher that was held up has published it later: counted from there,
// the wait that it caused would be left out (coordinated omission).
type stopwatch struct {
	mu     sync.Mutex
	plan   plan
	took   []time.Duration // of request i; 0: not answered yet
	left   int
	done   chan struct{}
	errors []error
}

func newStopwatch(p plan, n int) *stopwatch {
	return &stopwatch{plan: p, took: make([]time.Duration, n), left: n, done: make(chan struct{})}
}

// stop notes that a result of the request with this id came at a time.
func (w *stopwatch) stop(id string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := requestIndex(id)
	if i -= w.plan.first; !ok || i < 0 || i >= len(w.took) || w.took[i] != 0 {
		w.errors = append(w.errors, fmt.Errorf("an unexpected result, or a second one, of %s", id))
		return
	}
	w.took[i] = at.Sub(w.plan.due(i))
	if w.left--; w.left == 0 {
		close(w.done)
	}
}

// milliseconds returns the times of the requests from first on, sorted.
func (w *stopwatch) milliseconds(first int) []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]float64, 0, len(w.took))
	for _, d := range w.took[first:] {
		all = append(all, milliseconds(d))
	}
	slices.Sort(all)
	return all
}

// pace publishes requests by a plan, without waiting for acknowledgements: that
// each was stored is seen by its result.
func (s *stage) pace(ctx context.Context, p plan, n int) error {
	for i := range n {
		if err := pause(ctx, time.Until(p.due(i))); err != nil {
			return err
		}
		id := requestID(p.first + i)
		if err := s.nc.PublishMsg(&nats.Msg{Subject: p.on(i), Data: requestBody(id, p.stream), Header: nats.Header{jetstream.MsgIDHeader: {id}}}); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the last result.
func (w *stopwatch) await(ctx context.Context, s *stage) error {
	look := time.NewTicker(pollTime)
	defer look.Stop()
	limit := time.NewTimer(stallTime)
	defer limit.Stop()
	for {
		select {
		case <-w.done:
			w.mu.Lock()
			defer w.mu.Unlock()
			return errors.Join(w.errors...)
		case <-look.C:
			if err := s.gone(); err != nil {
				return err
			}
		case <-limit.C:
			return fmt.Errorf("%d requests are not answered after %s", w.left, stallTime)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
