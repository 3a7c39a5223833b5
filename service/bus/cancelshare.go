package bus

import (
	"context"
	"errors"
	"sync"

	"github.com/google/uuid"
)

// A share is one question for all requests that need to know at the same time whether
// the stream of cancellations has more than the set: between servers nothing else tells
// (see cancelsInfo.orders). Who needs to know while one is under way is in the next one,
// so that each question is asked after the request was delivered that it is asked for.
type share struct {
	asked chan struct{} // holds a token while a question is under way
	mu    sync.Mutex
	next  *shared
}

// shared is a question, and its answer.
type shared struct {
	askers int
	done   chan struct{} // closed once there is an answer
	info   cancelsInfo
	err    error
}

// errAlone is where one request alone needs to know: it asks for itself, which costs less.
var errAlone = errors.New("nobody else asks")

func newShare() *share { return &share{asked: make(chan struct{}, 1)} }

// ask returns what the stream said of itself after it was called. Errors: errAlone,
// after alone was called; those of the question; ctx's.
func (s *share) ask(ctx context.Context, question func(context.Context) (cancelsInfo, error), alone func()) (cancelsInfo, error) {
	in, first := s.join()
	if first {
		s.run(ctx, in, question, alone)
	}
	select {
	case <-in.done:
		return in.info, in.err
	case <-ctx.Done():
		return cancelsInfo{}, ctx.Err()
	}
}

// join takes part in the next question. The first one runs it.
func (s *share) join() (in *shared, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first = s.next == nil; first {
		s.next = &shared{done: make(chan struct{})}
	}
	s.next.askers++
	return s.next, first
}

// run asks when the question before is answered.
func (s *share) run(ctx context.Context, in *shared, question func(context.Context) (cancelsInfo, error), alone func()) {
	defer close(in.done)
	select {
	case s.asked <- struct{}{}:
		defer func() { <-s.asked }()
	case <-ctx.Done():
		in.err = ctx.Err()
	}
	s.mu.Lock()
	s.next = nil
	one := in.askers == 1
	s.mu.Unlock()
	switch {
	case in.err != nil:
	case one:
		in.err = errAlone
		alone()
	default:
		in.info, in.err = question(ctx)
	}
}

// askTogether has the stream say whether a request was cancelled: for all requests at
// once whether it has more than the set, and where it has, or the set has this request,
// for each one. Errors: ErrRefused, ctx's cause.
func (c *cancels) askTogether(ctx context.Context, one cancellation, key uuid.UUID) (cancelled bool, err error) {
	info, failed := c.share.ask(ctx, func(ctx context.Context) (cancelsInfo, error) {
		limited, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		return c.info(limited, nil)
	}, func() { cancelled, err = c.ask(ctx, one) })
	switch {
	case errors.Is(failed, errAlone):
		return cancelled, err
	case failed == nil && c.set.lacks(key, info):
		return false, nil
	}
	return c.ask(ctx, one)
}
