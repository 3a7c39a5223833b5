package openrouter

import (
	"context"
	"time"
)

const (
	finishError  = "error"
	finishLength = "length"
	finishFilter = "content_filter"

	maxErrorBody = 64 << 10
	maxDrain     = 4 << 10

	errorBodyTime = 5 * time.Second        // for the body of an error whose status is known
	usageTime     = 10 * time.Second       // for the usage after finish_reason, if Gap is not shorter
	drainTime     = 100 * time.Millisecond // for the end of a body after [DONE], so that the connection can be used again
)

// Complete makes one call and waits for the whole answer. onDelta, which may be nil, gets the content's pieces in order on the
// caller's goroutine. The error is always an *[Error]; pieces may have been given to onDelta before it.
func (c *Client) Complete(ctx context.Context, key string, r *Request, onDelta func(string)) (*Completion, error) {
	body, err := r.body()
	if err != nil {
		return nil, refuse(key, "encode request: "+err.Error())
	}
	if reason := c.checkKey(key); reason != "" {
		return nil, refuse(key, reason)
	}
	ctx, w := startWatch(ctx)
	defer w.stop()
	w.within(c.call)
	w.arm(errFirstToken, orDefault(r.FirstToken, c.firstToken))
	resp, err := c.post(ctx, key, body)
	if err != nil {
		return nil, c.fault(ctx, key, KindConnection, err)
	}
	defer func() { _ = resp.Body.Close() }() // the outcome is known, so an error changes nothing
	if resp.StatusCode/100 != 2 {
		w.arm(errEnding, errorBodyTime)
		return nil, statusError(key, resp)
	}
	buffers := c.takeBuffers(resp.Body)
	defer c.leaveBuffers(buffers)
	s := &stream{
		client: c, key: key, watch: w, response: resp, onDelta: onDelta,
		buffers: buffers, answer: answer{max: c.maxAnswer},
	}
	s.room, _ = ctx.Value(roomKey{}).(Room)
	s.attach(ctx)
	return s.result(ctx, s.read(ctx))
}

// result is what the call returns once its answer has been read, or cannot be.
func (s *stream) result(ctx context.Context, failed *Error) (*Completion, error) {
	defer s.lock()()
	s.detach()
	if failed == nil && !s.answer.forgotten {
		failed = s.judge()
	}
	if failed != nil {
		s.giveBack(ctx)
		return nil, s.complete(failed)
	}
	done := s.answer.completion()
	if done.ID == "" {
		done.ID = s.response.Header.Get(generationHeader)
	}
	done.Cached = s.response.Header.Get(cacheStatusHeader) == "HIT"
	return done, nil
}
