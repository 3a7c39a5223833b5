package openrouter

import (
	"context"
	"sync"
	"sync/atomic"
)

// maxAbandonedLine bounds a line of an answer that nobody waits for: a usage is far shorter.
const maxAbandonedLine = 256 << 10

// An Abandonment lets a call end without its answer: it goes on only for its usage.
type Abandonment struct {
	asks     context.Context //nolint:containedctx // ends the waits for room that are under way
	stopAsks context.CancelFunc
	provider atomic.Pointer[string]

	mu     sync.Mutex // held while a chunk is added, or room is asked for
	done   bool
	stream *stream // nil before there is a response
}

type abandonKey struct{}

// WithAbandonment returns a context for one call of [Client.Complete], and what abandons this call.
func WithAbandonment(ctx context.Context) (context.Context, *Abandonment) {
	a := &Abandonment{}
	a.asks, a.stopAsks = context.WithCancel(context.WithoutCancel(ctx))
	return context.WithValue(ctx, abandonKey{}, a), a
}

// Abandon drops what there is of the answer. When it returns, neither onDelta nor the [Room] is called any more: what room was
// asked for is the caller's to give back. The call reads on until the answer ends, keeps nothing of it, and returns what it cost.
func (a *Abandonment) Abandon() {
	a.stopAsks()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = true
	if a.stream != nil {
		a.stream.forget()
	}
}

// Provider is the one that answers, as far as that is known; "" before.
func (a *Abandonment) Provider() string {
	if name := a.provider.Load(); name != nil {
		return *name
	}
	return ""
}

// attach has the stream of a call be abandoned with it.
func (s *stream) attach(ctx context.Context) {
	a, ok := ctx.Value(abandonKey{}).(*Abandonment)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.abandonment, a.stream = a, s
	if a.done {
		s.forget()
	}
}

// detach has the stream, which is read, not be abandoned any more. The abandonment is locked.
func (s *stream) detach() {
	if s.abandonment != nil {
		s.abandonment.stream = nil
	}
}

// lock has the stream not be abandoned until unlock is called.
func (s *stream) lock() (unlock func()) {
	if s.abandonment == nil {
		return func() {}
	}
	s.abandonment.mu.Lock()
	return s.abandonment.mu.Unlock
}

// forget drops the answer. The abandonment is locked.
func (s *stream) forget() {
	s.room, s.held = nil, 0
	s.answer.forget()
}

// ask asks for room. The abandonment is locked; if it comes meanwhile, the answer is dropped, and no room is needed.
func (s *stream) ask(ctx context.Context, bytes int) error {
	a := s.abandonment
	if a == nil {
		return s.room(ctx, bytes)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.asks, cancel)()
	err := s.room(ctx, bytes)
	if err != nil && a.asks.Err() != nil {
		s.forget()
		return nil
	}
	return err
}

// saw notes who answers.
func (s *stream) saw(provider string) {
	if s.abandonment != nil && provider != "" && provider != s.abandonment.Provider() {
		s.abandonment.provider.Store(new(provider))
	}
}
