package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	fillWindow  = 4096                   // publishes without an answer, at most
	retryTime   = 100 * time.Millisecond // between two tries of the same
	pollTime    = 100 * time.Millisecond // between two looks at a stream: they cost the server 0.1 ms each
	stallTime   = 90 * time.Second       // without a new result, after which a run is given up
	fillTimeout = 10 * time.Minute
)

// fill publishes requests first to first+n-1.
func (s *stage) fill(ctx context.Context, first, n int) error {
	return s.fillQueue(ctx, requestSubject, first, n)
}

// fillQueue publishes them on a subject.
func (s *stage) fillQueue(ctx context.Context, subject string, first, n int) error {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	var stored []jetstream.PubAckFuture
	for i := first; i < first+n; i++ {
		id := requestID(i)
		f, err := s.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: requestBody(id, false), Header: nats.Header{jetstream.MsgIDHeader: {id}}},
			jetstream.WithStallWait(fillTimeout))
		if err != nil {
			return fmt.Errorf("fill the queue: %w", err)
		}
		if stored = append(stored, f); len(stored) == fillWindow {
			if err := settle(ctx, stored); err != nil {
				return fmt.Errorf("fill the queue: %w", err)
			}
			stored = stored[:0]
		}
	}
	return settle(ctx, stored)
}

// settle waits until all is stored.
func settle(ctx context.Context, stored []jetstream.PubAckFuture) error {
	for _, f := range stored {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// answered waits until there are so many results, and then until every request is
// acknowledged. seen is told how many there are, at every look.
func (s *stage) answered(ctx context.Context, results int, seen func(int) error) error {
	err := s.until(ctx, responsesStream, func(n int) (bool, error) { return n >= results, seen(n) })
	if err != nil {
		return err
	}
	return s.until(ctx, requestsStream, func(n int) (bool, error) { return n == 0, nil })
}

// until looks at how many messages a stream has until that is enough.
func (s *stage) until(ctx context.Context, stream string, enough func(messages int) (bool, error)) error {
	for last, moved := -1, time.Now(); ; {
		state, err := s.state(ctx, stream)
		if err != nil {
			return err
		}
		n := int(state.Msgs) //nolint:gosec // there are not that many
		if done, err := enough(n); done || err != nil {
			return err
		}
		if n != last {
			last, moved = n, time.Now()
		}
		if time.Since(moved) > stallTime {
			return fmt.Errorf("%s has had %d messages for %s\n%s", stream, n, stallTime, s.workers[0].tail())
		}
		if err := errors.Join(s.gone(), pause(ctx, pollTime)); err != nil {
			return err
		}
	}
}

func (s *stage) state(ctx context.Context, stream string) (jetstream.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	found, err := s.js.Stream(ctx, stream)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return found.CachedInfo().State, nil
}

// check makes sure that each of n requests has exactly one result, that none of
// them failed, and that each was one call.
func (s *stage) check(ctx context.Context, n int) error {
	results, err := s.state(ctx, responsesStream)
	if err != nil {
		return err
	}
	var made calls
	if err := s.upstream.report(&made); err != nil {
		return err
	}
	if err := s.noneFailed(ctx); err != nil {
		return err
	}
	switch {
	case int(results.Msgs) != n || int(results.NumSubjects) != n: //nolint:gosec // there are not that many
		return fmt.Errorf("%d requests have %d results, of %d different ones", n, results.Msgs, results.NumSubjects)
	case made.Calls != int64(n):
		return fmt.Errorf("%d requests made %d calls", n, made.Calls)
	}
	return nil
}

// noneFailed makes sure that no result is a failure.
func (s *stage) noneFailed(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, responsesStream)
	if err != nil {
		return err
	}
	failed, err := stream.GetLastMsgForSubject(ctx, failedAll)
	switch {
	case err == nil:
		return fmt.Errorf("a request failed: %s", failed.Data)
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	return nil
}
