package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Of the lone requests: how many there are, and how far apart.
const (
	loneRequests = 50
	loneTime     = 200 * time.Millisecond
)

// loneRun notes what declared tenants take while nothing is to be done, and how long a
// request takes that comes then.
func loneRun(ctx context.Context, r *run, set setting) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.declare(ctx, r.contender); err != nil {
		return err
	}
	if _, err := s.start(ctx, r.contender); err != nil {
		return err
	}
	if err := s.warm(ctx); err != nil {
		return err
	}
	r.say("idle")
	if err := pause(ctx, r.bench.rest(tenantsSettleTime)); err != nil {
		return err
	}
	if err := s.atRest(ctx, r); err != nil {
		return err
	}
	r.say("lone requests")
	n := min(loneRequests, r.bench.requests(loneRequests))
	if err := s.lone(ctx, r, n); err != nil {
		return err
	}
	return s.check(ctx, n+1)
}

// tenantsSettleTime is until a process has come to rest that has asked every queue at the
// same time: the pulls of many queues last up to ten seconds.
const tenantsSettleTime = 12 * time.Second

// atRest notes what worker and server use for a while.
func (s *stage) atRest(ctx context.Context, r *run) error {
	before, err := s.spent()
	if err != nil {
		return err
	}
	had, err := s.traffic(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, r.bench.lasting(watchTime)); err != nil {
		return err
	}
	after, err := s.spent()
	if err != nil {
		return err
	}
	has, err := s.traffic(ctx)
	if err != nil {
		return err
	}
	seconds := after.at.Sub(before.at).Seconds()
	r.note(restWorker, milliseconds(after.worker.cpu-before.worker.cpu)/seconds)
	r.note(restNATS, milliseconds(after.server.cpu-before.server.cpu)/seconds)
	r.note(restMessages, float64(has.In-had.In+has.Out-had.Out)/seconds)
	r.note(idleMemory, megabytes(after.worker.memory))
	return nil
}

// lone publishes n requests of different tenants, each when the one before has its result.
func (s *stage) lone(ctx context.Context, r *run, n int) error {
	results, err := s.nc.SubscribeSync(completedPrefix + "*")
	if err != nil {
		return err
	}
	defer results.Unsubscribe() //nolint:errcheck // the connection ends
	took := make([]float64, 0, n)
	for i := range n {
		if err := pause(ctx, loneTime); err != nil {
			return err
		}
		one, err := s.ask(ctx, results, i, tenantSubject(i*max(1, r.contender.tenants/n)%r.contender.tenants))
		if err != nil {
			return err
		}
		took = append(took, milliseconds(one))
	}
	slices.Sort(took)
	r.note(loneHalf, percentile(took, 50))
	r.note(loneNinety, percentile(took, 90))
	return nil
}

// ask publishes request i on a subject and waits for its result.
func (s *stage) ask(ctx context.Context, results *nats.Subscription, i int, subject string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	id, began := requestID(i), time.Now()
	if err := s.nc.PublishMsg(&nats.Msg{Subject: subject, Data: requestBody(id, false), Header: nats.Header{jetstream.MsgIDHeader: {id}}}); err != nil {
		return 0, err
	}
	m, err := results.NextMsgWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("the request on %s has no result: %w", subject, err)
	}
	if got := resultOf(m); got != id {
		return 0, fmt.Errorf("%w: of %s, want %s", errOtherResult, got, id)
	}
	return time.Since(began), nil
}

var errOtherResult = errors.New("another request's result")
