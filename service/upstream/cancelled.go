package upstream

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

const (
	leftShare = 4       // one of so many slots may have left a call behind
	leftBytes = 4 << 20 // of the requests of such calls, which stay in memory
)

// runOn are the providers that go on, and bill the whole answer, when a stream is
// cancelled (OpenRouter, streaming.mdx), by the beginnings of their names in lower case.
var runOn = []string{ //nolint:gochecknoglobals // a table, never changed
	"google", "amazon bedrock", "bedrock", "groq", "mistral", "minimax", "alibaba", "nebius", "sambanova", "perplexity",
}

// runsOn reports whether a call still costs the whole answer when it is cancelled.
// provider is "" as long as none has answered. Gemini runs at Google alone.
func runsOn(provider, model string) bool {
	model, provider = strings.TrimPrefix(model, "~"), strings.ToLower(provider)
	if strings.HasPrefix(model, "google/gemini") || provider == "" {
		return strings.HasPrefix(model, "google/")
	}
	for _, name := range runOn {
		if strings.HasPrefix(provider, name) {
			return true
		}
	}
	return false
}

// cutOff says of a call that a cancellation cut off what it still costs; "" if it costs
// no more than what was generated.
func (c *call) cutOff() string {
	const runsOnStill = "the provider runs on and bills the whole answer: "
	switch {
	case !runsOn(c.last.usage.Provider, c.request.Model):
		return ""
	case c.left != nil:
		return runsOnStill + "the call is let to finish, and its cost is logged and counted then"
	case c.caller.left == nil:
		return runsOnStill + "the cost is not known (CANCEL_WAITS=true waits for it)"
	}
	return runsOnStill + "the cost is not known, as calls that are waited for take all the room there is"
}

// left are the calls of cancelled requests that are let to finish (CANCEL_WAITS), so
// that their cost is known. They hold no slot.
type left struct {
	calls sync.WaitGroup
	ended context.Context //nolint:containedctx // of the caller: ends them
	end   context.CancelFunc
	seats chan struct{}
	bytes atomic.Int64 // of their requests
}

func newLeft(slots int) *left {
	l := &left{seats: make(chan struct{}, max(1, slots/leftShare))}
	l.ended, l.end = context.WithCancel(context.Background())
	return l
}

// close ends the calls and waits for them. A nil left has none.
func (l *left) close() {
	if l != nil {
		l.end()
		l.calls.Wait()
	}
}

// take takes a place for a call whose request has so many bytes.
func (l *left) take(bytes int64) bool {
	if l.bytes.Add(bytes) > leftBytes {
		l.bytes.Add(-bytes)
		return false
	}
	select {
	case l.seats <- struct{}{}:
		return true
	default:
		l.bytes.Add(-bytes)
		return false
	}
}

func (l *left) give(bytes int64) {
	l.bytes.Add(-bytes)
	<-l.seats
}

// callEnd is how a call of the client ended.
type callEnd struct {
	completion answer
	err        error
	panicked   any
}

// calling makes a call of the client.
func (u *Caller) calling(ctx context.Context, c *call, piece func(string)) (answer, error) {
	if u.left == nil {
		return u.client.Complete(ctx, c.lease.key.secret, &c.sent, piece)
	}
	return u.callingAside(ctx, c, piece)
}

// callingAside makes a call of the client under CANCEL_WAITS: it runs beside the request's
// own goroutine, which a cancellation then lets go at once.
func (u *Caller) callingAside(ctx context.Context, c *call, piece func(string)) (answer, error) {
	key, size := c.lease.key.secret, sizeOf(c.sent)
	aside, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	aside, abandonment := openrouter.WithAbandonment(aside)
	ended := make(chan callEnd, 1)
	u.left.calls.Go(func() {
		var e callEnd
		defer func() {
			e.panicked = recover()
			ended <- e
		}()
		e.completion, e.err = u.client.Complete(aside, key, &c.sent, piece)
	})
	defer context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); !errors.Is(cause, ErrCancelled) {
			cancel(cause)
		}
	})()
	select {
	case e := <-ended:
		cancel(nil)
		return e.result()
	case <-ctx.Done():
	}
	if len(ended) == 0 && errors.Is(context.Cause(ctx), ErrCancelled) && runsOn(abandonment.Provider(), c.request.Model) && u.left.take(size) {
		abandonment.Abandon()
		c.left, c.event = make(chan Reply, 1), &events.Request{Tenant: c.event.Tenant} // of which the call needs nothing more
		u.leave(ctx, c, leftCall{ended: ended, cancel: cancel, bytes: size})
		gone := &openrouter.Error{Kind: openrouter.KindCancelled, Message: "the call was cancelled", Provider: abandonment.Provider()}
		return nil, errors.Join(gone, ErrCancelled, context.Canceled)
	}
	cancel(context.Cause(ctx))
	return (<-ended).result()
}

// leftCall is a call under way whose request has been cancelled.
type leftCall struct {
	ended  <-chan callEnd
	cancel context.CancelCauseFunc
	bytes  int64 // of its request
}

// leave has a call end by itself, within CALL_TIMEOUT or until the caller is closed.
func (u *Caller) leave(ctx context.Context, c *call, l leftCall) {
	stop := context.AfterFunc(u.left.ended, func() { l.cancel(ErrStopping) })
	u.left.calls.Go(func() {
		defer u.left.give(l.bytes)
		defer l.cancel(nil)
		defer stop()
		u.account(ctx, c, <-l.ended)
	})
}

func (e callEnd) result() (answer, error) {
	if e.panicked != nil {
		panic(e.panicked) // on the goroutine whose request it is
	}
	return e.completion, e.err
}

// sizeOf is how many bytes of a request stay in memory while its call goes on.
func sizeOf(r openrouter.Request) int64 {
	n := len(r.System) + len(r.Prompt) + len(r.Messages)
	for _, field := range r.Extra {
		n += len(field)
	}
	return int64(n)
}

// account counts what a call has cost whose request was cancelled, and ends its span.
func (u *Caller) account(ctx context.Context, c *call, e callEnd) {
	ctx = context.WithoutCancel(ctx)
	re := <-c.left
	var usage Usage
	if e.completion != nil {
		usage = answerUsage(e.completion)
	}
	if api, failed := errors.AsType[*openrouter.Error](e.err); failed {
		usage = failedUsage(api)
	}
	c.settleCost(usage.Cost)
	attrs := []slog.Attr{slog.String("model", c.request.Model)}
	line := "the call of a cancelled request has ended: its cost is not known"
	if usage.Cost != nil {
		u.tel.Instruments.Charged(ctx, c.event.Tenant, c.request.Model, *usage.Cost)
		u.keys.spend(c.lease.key, *usage.Cost)
		line = "the call of a cancelled request has ended"
		attrs = append(attrs, slog.Float64("cost", *usage.Cost))
	}
	if t := usage.Usage; t != nil {
		u.tel.Instruments.TokensUsed(ctx, c.event.Tenant, t.PromptTokens, t.CompletionTokens)
		attrs = append(attrs, slog.Int("tokens_in", t.PromptTokens), slog.Int("tokens_out", t.CompletionTokens))
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("code", string(classify(e.err).Code)))
	}
	u.tel.Logger.LogAttrs(ctx, slog.LevelInfo, line, attrs...)
	usage.Bill = re.Usage.Bill.Plus(usage.Bill)
	re.Usage = usage
	c.span.End(chatResult(c, re))
}

// finish ends the span of a call, or has that done when the call that was left behind
// has ended.
func (c *call) finish() {
	re := c.reply
	if re.Answer == nil && re.Err == nil { // it ends with a panic
		re.Err = newError(kindUnknown, 0)
	}
	if c.left != nil {
		c.left <- re
		return
	}
	c.span.End(chatResult(c, re))
}
