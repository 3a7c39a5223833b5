package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A slice is a part of a long run.
type slice struct {
	Results    int     `json:"results"`        // so far
	Rate       float64 `json:"rate,omitempty"` // in this part
	WorkerMB   float64 `json:"worker_mb"`      // resident, at its end
	NATSMB     float64 `json:"nats_mb"`
	Goroutines int     `json:"goroutines,omitempty"`
	HeapMB     float64 `json:"heap_mb,omitempty"`
	Sockets    int     `json:"sockets,omitempty"`
}

// tenths notes the state of a long run at every tenth of it.
type tenths struct {
	size int
	all  []slice
}

// seen is called with the number of results so far.
func (t *tenths) seen(s *stage, n int) error {
	if n < (len(t.all)+1)*t.size {
		return nil
	}
	workers, err := sum(s.workers)
	if err != nil {
		return err
	}
	servers, err := sum(s.natsChildren())
	if err != nil {
		return err
	}
	t.all = append(t.all, slice{Results: (len(t.all) + 1) * t.size, WorkerMB: megabytes(workers.memory), NATSMB: megabytes(servers.memory)})
	return nil
}

// rates fills in how fast each part was, by when its results were stored.
func (t *tenths) rates(ctx context.Context, s *stage) error {
	stream, err := s.js.Stream(ctx, responsesStream)
	if err != nil {
		return err
	}
	from, err := stored(ctx, stream, 1)
	if err != nil {
		return err
	}
	for i := range t.all {
		to, err := stored(ctx, stream, t.all[i].Results)
		if err != nil {
			return err
		}
		t.all[i].Rate, from = float64(t.size)/to.Sub(from).Seconds(), to
	}
	return nil
}

// note compares the last part with the first. The server's memory is compared with
// the middle: until then it forgets the ids of what filled the queue.
func (t *tenths) note(ctx context.Context, r *run, s *stage) error {
	if err := t.rates(ctx, s); err != nil {
		return err
	}
	r.slices = t.all
	first, middle, last := t.all[0], t.all[len(t.all)/2-1], t.all[len(t.all)-1]
	r.note(lastRate, last.Rate/first.Rate)
	r.note(growMemory, last.WorkerMB/first.WorkerMB)
	r.note(growNATS, last.NATSMB-middle.NATSMB)
	return nil
}

// stored is when a result was stored.
func stored(ctx context.Context, stream jetstream.Stream, sequence int) (time.Time, error) {
	m, err := stream.GetMsg(ctx, uint64(sequence)) //nolint:gosec // not negative
	if err != nil {
		return time.Time{}, err
	}
	return m.Time, nil
}
