package upstream

import (
	"context"
	"time"

	"gemini-client/service/openrouter"
)

type roomKey struct{}

type room func(ctx context.Context, bytes int) error

// WithRoom returns a context under which Answer asks for room before an answer
// takes so many bytes more (fewer, if they are negative), and waits for it.
func WithRoom(ctx context.Context, ask func(ctx context.Context, bytes int) error) context.Context {
	return context.WithValue(ctx, roomKey{}, room(ask))
}

// withRoom has an attempt ask for room, and notes how long it waits.
func (c *call) withRoom(ctx context.Context) context.Context {
	c.roomWait = 0
	ask, ok := ctx.Value(roomKey{}).(room)
	if !ok {
		return ctx
	}
	return openrouter.WithRoom(ctx, func(ctx context.Context, bytes int) error {
		began := time.Now()
		defer func() { c.roomWait += time.Since(began) }()
		return ask(ctx, bytes)
	})
}

// excuse returns the error of an attempt, or the one that takes its place if it
// waited for memory of ours: CALL_TIMEOUT runs meanwhile, and a connection that is
// not read may break. Nobody else is to blame for that. The other time limits pause,
// so what they say holds.
func (c *call) excuse(e *Error) *Error {
	if c.roomWait <= roomPatience {
		return e
	}
	switch e.kind { //nolint:exhaustive // a wait does not cause the others
	case kindCallTimeout, kindAttemptTimeout:
		late := newError(kindRoomTimeout, 0)
		late.say("", c.roomWait.Round(time.Second).String())
		late.usage, late.cause = e.usage, e.cause
		return late
	case kindCut:
		e.health = healthUnknown
	}
	return e
}
