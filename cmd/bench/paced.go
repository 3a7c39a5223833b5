package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// warmTime is at the beginning of an open loop and not counted: connections are
// made, and the first collections run.
const warmTime = 2 * time.Second

// pacedRun answers requests of an open loop, and notes how long each took.
func pacedRun(ctx context.Context, r *run, set setting, perSecond, n int, stream bool) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, err := s.start(ctx, r.contender); err != nil {
		return err
	}
	if err := s.warm(ctx); err != nil {
		return err
	}
	worker, err := sum(s.workers)
	if err != nil {
		return err
	}
	server, err := sum(s.natsChildren())
	if err != nil {
		return err
	}
	p := plan{start: time.Now().Add(pollTime), rate: perSecond, stream: stream}
	watch, pieces := newStopwatch(p, n), &deltas{}
	results, err := s.nc.Subscribe(completedPrefix+"*", func(m *nats.Msg) { watch.stop(strings.TrimPrefix(m.Subject, completedPrefix), time.Now()) })
	if err != nil {
		return err
	}
	live, err := s.nc.Subscribe(deltasAll, pieces.arrived)
	if err != nil {
		return err
	}
	if err := errors.Join(results.SetPendingLimits(-1, -1), live.SetPendingLimits(-1, -1)); err != nil {
		return err
	}
	r.sayf("%d a second", perSecond)
	if err := s.pace(ctx, p, n); err != nil {
		return err
	}
	if err := watch.await(ctx, s); err != nil {
		return err
	}
	first := min(n/2, int(warmTime.Seconds())*perSecond)
	took := watch.milliseconds(first)
	for m, p := range map[metric]float64{half: 50, ninety: 90, tail: 99, farthest: 99.9} {
		r.note(m, percentile(took, p))
	}
	if stream {
		if err := errors.Join(drained(live), pieces.note(r)); err != nil {
			return err
		}
	}
	return errors.Join(r.used(s, worker, server, n), s.allProfiles(ctx), s.check(ctx, n+1))
}

// drained ends a subscription and waits until its handler has seen all that the server
// has sent: a result may be handled before the last delta that came before it.
func drained(s *nats.Subscription) error {
	closed := s.StatusChanged(nats.SubscriptionClosed)
	if err := s.Drain(); err != nil {
		return err
	}
	<-closed
	return nil
}

// warm has one request answered, so that the contender is known to be up.
func (s *stage) warm(ctx context.Context) error {
	if err := s.fill(ctx, warmIndex, 1); err != nil {
		return err
	}
	return s.answered(ctx, 1, func(int) error { return nil })
}

// warmIndex is the number of the request that only warms up.
const warmIndex = 1 << 40

// deltas are how long pieces of answers were under way, from the upstream to a
// subscriber.
type deltas struct {
	mu   sync.Mutex
	took []float64
	odd  int
}

// arrived reads the times that the upstream has written into the pieces.
func (d *deltas) arrived(m *nats.Msg) {
	now := time.Now().UnixNano()
	var piece struct {
		Content string `json:"content"`
	}
	failed := json.Unmarshal(m.Data, &piece) != nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if failed {
		d.odd++
	}
	for stamp := range strings.FieldsSeq(piece.Content) {
		sent, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			d.odd++
			continue
		}
		d.took = append(d.took, float64(now-sent)/1e6)
	}
}

func (d *deltas) note(r *run) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.took)
	r.note(deltaHalf, percentile(d.took, 50))
	r.note(deltaTail, percentile(d.took, 99))
	r.note(deltaCount, float64(len(d.took)))
	if d.odd > 0 {
		return fmt.Errorf("%d deltas could not be read", d.odd)
	}
	return nil
}
