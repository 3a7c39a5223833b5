package upstream

import "context"

type beforeRepeatKey struct{}

// WithBeforeRepeat returns a context for [Caller.Answer] that has a function called
// before every attempt of the call but the first: the place to look whether the
// request is still wanted, and to cancel the context if not. An attempt of a context
// that has ended is not made.
func WithBeforeRepeat(ctx context.Context, look func(context.Context)) context.Context {
	return context.WithValue(ctx, beforeRepeatKey{}, look)
}

// wanted returns the cause if a call has ended before its next attempt.
func (c *call) wanted(ctx context.Context) error {
	if look, ok := ctx.Value(beforeRepeatKey{}).(func(context.Context)); ok && c.attempts > 0 {
		look(ctx)
	}
	return context.Cause(ctx)
}
