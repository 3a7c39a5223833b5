package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// copiesRun publishes each request many times, without anything by which JetStream
// could tell, and counts the calls that several processes make of them.
func copiesRun(ctx context.Context, r *run, set setting, requests, copies, processes int) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var stored []jetstream.PubAckFuture
	for i := range requests * copies {
		f, err := s.js.PublishMsgAsync(&nats.Msg{Subject: requestSubject, Data: requestBody(requestID(i%requests), false)}, jetstream.WithStallWait(fillTimeout))
		if err != nil {
			return err
		}
		stored = append(stored, f)
	}
	if err := settle(ctx, stored); err != nil {
		return err
	}
	for range processes {
		if _, err := s.start(ctx, r.contender); err != nil {
			return err
		}
	}
	if err := s.answered(ctx, requests, func(n int) error { r.sayf("%d of %d", n, requests); return nil }); err != nil {
		return err
	}
	results, err := s.state(ctx, responsesStream)
	if err != nil {
		return err
	}
	if int(results.Msgs) != requests { //nolint:gosec // there are not that many
		return fmt.Errorf("%d requests have %d results", requests, results.Msgs)
	}
	var made calls
	if err := s.upstream.report(&made); err != nil {
		return err
	}
	r.note(callsEach, float64(made.Calls)/float64(requests))
	return nil
}
