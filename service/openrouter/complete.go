package openrouter

import (
	"bufio"
	"context"
	"time"
)

const (
	finishError  = "error"
	finishLength = "length"
	finishFilter = "content_filter"

	streamBuffer = 4 << 10
	maxErrorBody = 64 << 10
	maxDrain     = 4 << 10

	errorBodyTime = 5 * time.Second        // for the body of an error whose status is known
	usageTime     = 10 * time.Second       // for the usage after finish_reason, if Gap is not shorter
	drainTime     = 100 * time.Millisecond // for the end of a body after [DONE], so that the connection can be used again
)

// Complete makes one call and waits for the whole answer. onDelta, which may be nil, gets the content's pieces in order on the
// caller's goroutine. The error is always an *[Error]; pieces may have been given to onDelta before it.
func (c *Client) Complete(ctx context.Context, key string, r Request, onDelta func(string)) (Completion, error) {
	body, err := r.body()
	if err != nil {
		return Completion{}, refuse(key, "encode request: "+err.Error())
	}
	if reason := c.checkKey(key); reason != "" {
		return Completion{}, refuse(key, reason)
	}
	ctx, w := startWatch(ctx)
	defer w.stop()
	w.arm(errFirstToken, c.firstToken)
	resp, err := c.send(ctx, key, "/chat/completions", body)
	if err != nil {
		return Completion{}, c.fault(ctx, key, KindConnection, err)
	}
	defer func() { _ = resp.Body.Close() }() // the outcome is known, so an error changes nothing
	if resp.StatusCode/100 != 2 {
		w.arm(errEnding, errorBodyTime)
		return Completion{}, statusError(key, resp)
	}
	s := &stream{
		client: c, key: key, watch: w, response: resp, onDelta: onDelta,
		body:   bufio.NewReaderSize(resp.Body, streamBuffer),
		answer: answer{max: c.maxAnswer},
	}
	s.room, _ = ctx.Value(roomKey{}).(Room)
	failed := s.read(ctx)
	if failed == nil {
		failed = s.judge()
	}
	if failed != nil {
		s.giveBack(ctx)
		return Completion{}, s.complete(failed)
	}
	done := s.answer.completion()
	if done.ID == "" {
		done.ID = resp.Header.Get(generationHeader)
	}
	return done, nil
}
